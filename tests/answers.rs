//! Answers of a model of random weights: drafts change nothing, and what is not allowed is not written.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use hark::format::LlamaFile;
use hark::kernels::{Cpu, Exec};
use hark::llama::{
    Answerer, Asking, Chat, Constraint, Grammar, KvType, Llama, MAX_LOGIT_ROWS, Message, Role,
    Sampling, Tokens, Wanted, saved,
};
use hark::text::LlamaTokenizer;
use support::made_up::{FAMILIES, MadeUp, N_VOCAB, text};

fn file(family: &'static str, folder: &Path) -> LlamaFile {
    LlamaFile::open(&MadeUp::new(family, 2).written(folder)).unwrap()
}

fn exec(n_threads: usize) -> Exec {
    Exec::new(Cpu::from_env().unwrap(), n_threads)
}

/// One whose prompt is the last message.
fn answerer(family: &'static str, n_threads: usize, room: (usize, usize)) -> Answerer {
    let folder = tempfile::tempdir().unwrap();
    let file = file(family, folder.path());
    let exec = exec(n_threads);
    let tokenizer = LlamaTokenizer::new(file.vocabulary()).unwrap();
    let template = "{{ messages|map(attribute='content')|join }}";
    let chat = Chat::new(Some(template), &tokenizer).unwrap();
    let model = Llama::load(&file, exec.cpu(), None).unwrap();
    Answerer::new(model, tokenizer, chat, exec, room)
}

fn said(text: &str) -> Message {
    Message {
        role: Role::User,
        content: text.to_owned(),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn logits_of_several_rows_are_those_of_each() {
    let folder = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let file = file(family, folder.path());
        let exec = exec(2);
        let model = Llama::load(&file, exec.cpu(), None).unwrap();
        let tokens = text(20, 3);
        let (first, rest) = tokens.split_at(20 - MAX_LOGIT_ROWS);
        let mut state = model.new_state(64);
        model.forward(&exec, first, &mut state);
        let one_by_one: Vec<Vec<u32>> = rest
            .iter()
            .map(|token| bits(model.forward(&exec, &[*token], &mut state)))
            .collect();
        state.truncate(first.len());
        let wanted = Wanted::Rows(MAX_LOGIT_ROWS);
        let together = model.forward_for(&exec, rest, wanted, &mut state);
        assert_eq!(bits(together), one_by_one.concat(), "{family}");
        // Some of the last row only.
        state.truncate(first.len());
        let some = [1, 7, 49];
        let logits = model.forward_for(&exec, rest, Wanted::Of(&some), &mut state);
        assert_eq!(logits.len(), N_VOCAB);
        let whole = one_by_one.last().unwrap();
        for token in some {
            assert_eq!(
                logits[token as usize].to_bits(),
                whole[token as usize],
                "{family}"
            );
        }
    }
}

#[test]
fn drafts_change_nothing() {
    // A prompt that repeats itself, so that there are drafts; 200 tokens of an answer that will.
    let prompt = "a b a b a b ".repeat(8);
    let messages = [said(&prompt)];
    let mut n_drafted = 0;
    for family in FAMILIES {
        for (temperature, repeat_penalty) in [(0.0, 1.0), (0.4, 1.0), (0.8, 1.2)] {
            let sampling = Sampling {
                temperature,
                repeat_penalty,
                seed: 3,
                ..Sampling::default()
            };
            let mut answer = |n_threads: usize, longest_draft: usize| {
                let mut answerer = answerer(family, n_threads, (600, 200));
                answerer.draft_at_most(longest_draft);
                let asking = Asking {
                    messages: &messages,
                    sampling,
                    constraint: None,
                    slides: false,
                };
                let answer = answerer.answer(asking, &mut |_| true).unwrap();
                n_drafted += answer.n_drafted;
                (answer.text, answer.n_tokens, answerer.tokens().to_vec())
            };
            let expected = answer(1, 0);
            assert_eq!(answer(1, 8), expected, "{family} {temperature}");
            assert_eq!(answer(2, 3), expected, "{family} {temperature}");
        }
    }
    assert!(n_drafted > 100, "{n_drafted} tokens were drafted");
}

#[test]
fn only_what_is_allowed_is_written() {
    for family in FAMILIES {
        let mut answerer = answerer(family, 2, (300, 100));
        let tokens = Arc::new(Tokens::new(answerer.vocabulary()));
        for (rules, allowed) in [
            ("root ::= \"a\" | \"b a b\"", &["a", "b a b"][..]),
            ("root ::= (\"a \" | \"b \"){3}", &[]),
        ] {
            let grammar = Arc::new(Grammar::from_gbnf(rules).unwrap());
            let mut constraint = Constraint::new(grammar, tokens.clone()).unwrap();
            for seed in 0..20 {
                constraint.reset();
                let asking = Asking {
                    messages: &[said("a b")],
                    sampling: Sampling {
                        temperature: 1.5,
                        min_p: 0.0,
                        seed,
                        ..Sampling::default()
                    },
                    constraint: Some(&mut constraint),
                    slides: false,
                };
                let text = answerer.answer(asking, &mut |_| true).unwrap().text;
                if allowed.is_empty() {
                    let words: Vec<&str> = text.split_terminator(' ').collect();
                    assert!(
                        words.len() == 3 && words.iter().all(|w| ["a", "b"].contains(w)),
                        "{text:?}"
                    );
                } else {
                    assert!(allowed.contains(&text.as_str()), "{family}: {text:?}");
                }
            }
        }
    }
}

#[test]
fn a_conversation_that_lost_its_oldest_turn_is_not_read_again() {
    for kv in [KvType::F16, KvType::Q8_0] {
        let mut answerer = answerer("llama", 1, (600, 4)).with_kv(kv);
        let parts = [
            "a b ".repeat(10),
            "b a a ".repeat(20),
            "a a b b ".repeat(20),
        ];
        let [system, old, new] = parts.each_ref().map(|text| said(text));
        let mut ask = |messages: &[Message], slides: bool| {
            let asking = Asking {
                messages,
                sampling: Sampling::default(),
                constraint: None,
                slides,
            };
            answerer.answer(asking, &mut |_| true).unwrap()
        };
        let whole = ask(&[system.clone(), old, new.clone()], false);
        let rest = ask(&[system.clone(), new.clone()], true);
        assert!(
            rest.n_reused + 2 >= rest.n_prompt,
            "{} of {}",
            rest.n_reused,
            rest.n_prompt
        );
        assert!(rest.n_prompt < whole.n_prompt);
        // Another conversation knows nothing of this one.
        let other = ask(&[new, system], false);
        assert!(other.n_reused < 20, "{}", other.n_reused);
    }
}

#[test]
fn what_was_read_ahead_is_taken_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let messages = |end: &str| [said(&format!("{}{end}", "a b b ".repeat(30)))];
    let mut first = answerer("llama", 1, (600, 8));
    let common = first.common(&messages("a a"), &messages("b b")).unwrap();
    assert!(common.len() > 30, "{}", common.len());
    assert!(first.read_ahead(&common, &mut || true));
    first.save_state(&path).unwrap();
    let answer = |answerer: &mut Answerer| {
        let asking = Asking {
            messages: &messages("a b"),
            sampling: Sampling::default(),
            constraint: None,
            slides: false,
        };
        answerer.answer(asking, &mut |_| true).unwrap()
    };
    let expected = answer(&mut first);
    let mut second = answerer("llama", 2, (600, 8));
    assert_eq!(second.load_state(&path).unwrap(), common.len());
    let taken = answer(&mut second);
    assert_eq!(taken.text, expected.text);
    assert!(taken.n_reused + 1 >= common.len(), "{}", taken.n_reused);
    let mut other = answerer("qwen2", 1, (600, 8));
    let error = other.load_state(&path).unwrap_err();
    assert!(matches!(error, saved::SavedError::OtherModel(_)), "{error}");
}
