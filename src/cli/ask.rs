//! `hark ask`: a question to the language model.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args as ClapArgs;
use serde_json::json;

use super::language::Language;
use super::output::{Out, json, printable};
use super::setup::Setup;
use super::signals::{self, OnSignal};
use super::{Failure, Globals};
use crate::error::Kind;
use crate::llama::{
    Answer, AnswerError, Answerer, Asking, Constraint, End, Grammar, KvType, Message, Role,
    Sampling, Tokens,
};

const EXAMPLES: &str = "\
Examples:
  hark ask what is the capital of France
  hark ask                                  (a conversation; an empty line ends it)
  echo 'Name three colours.' | hark ask -
  hark ask --schema person.json 'Who wrote Faust? Give name and birth.'
  hark ask --answer-model ~/models/qwen2.5-1.5b-instruct-q4_k_m.gguf --temperature 0.7 tell me a joke
  hark ask --json --max-tokens 20 hello";

/// Ask the language model
///
/// Answers with a model of the LLaMA family in a GGUF file, on this machine. Words are printed as they come.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to ask; - reads it from standard input, nothing begins a conversation
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Model that answers: a name (`hark models list`) or a GGUF file [default: the configuration's responder.model]
    #[arg(long, value_name = "NAME|FILE")]
    answer_model: Option<String>,
    /// What the model is to be
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Length of an answer at most, in tokens
    #[arg(long, value_name = "N", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_tokens: u32,
    /// Length of a conversation at most, in tokens
    #[arg(long, value_name = "N", default_value_t = 2_048)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    context: u32,
    /// Variety: 0 takes the likeliest word each time
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    #[arg(value_parser = between_0_and_5)]
    temperature: f32,
    /// Only text of this grammar, a file in GBNF, is written
    #[arg(long, value_name = "FILE", conflicts_with = "schema")]
    grammar: Option<PathBuf>,
    /// Only JSON that fulfils this schema is written
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// What the same words again are made less likely by; 1 is nothing
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    #[arg(value_parser = penalty)]
    repeat_penalty: f32,
    /// The same seed gives the same answer [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

fn between_0_and_5(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=5.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 5 is wanted".into()),
    }
}

fn penalty(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.1..=5.0).contains(&value) => Ok(value),
        _ => Err("a number from 0.1 to 5 is wanted".into()),
    }
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    if args.max_tokens > args.context / 2 {
        let message = format!("an answer of {} tokens", args.max_tokens);
        let hint = format!("--context {} has room for half of itself", args.context);
        return Err(Failure::new(Kind::Usage, message).hint(hint));
    }
    let asked = asked(&args)?;
    let grammar = grammar(&args)?;
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let answerer = load(&args, globals)?;
    let constraint = grammar.map(|grammar| {
        let tokens = Tokens::new(answerer.vocabulary());
        Constraint::new(Arc::new(grammar), Arc::new(tokens))
    });
    let constraint = constraint.transpose().map_err(AnswerError::from)?;
    let stop = signals.begin().clone();
    let mut talk = Talk {
        messages: Vec::from_iter(args.system.as_ref().map(|text| Message {
            role: Role::System,
            content: text.clone(),
        })),
        sampling: Sampling {
            temperature: args.temperature,
            repeat_penalty: args.repeat_penalty,
            seed: args.seed.unwrap_or_else(seed_of_now),
            ..Sampling::default()
        },
        out: Out::stdout(),
        is_json: globals.json,
        answerer,
        constraint,
    };
    match asked {
        Some(text) => talk.ask(text, &|| stop.is_requested()),
        None => talk.converse(&|| stop.is_requested()),
    }?;
    match stop.is_requested() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// The question on the command line or standard input, if there is one.
fn asked(args: &Args) -> Result<Option<String>, Failure> {
    match args.text.as_slice() {
        [] => Ok(None),
        [dash] if dash == "-" => {
            let text = io::read_to_string(io::stdin());
            let text = text.map_err(|error| {
                Failure::new(Kind::Input, format!("cannot read standard input: {error}"))
            })?;
            something(text.trim().to_owned())
        }
        words => something(words.join(" ")),
    }
}

fn something(text: String) -> Result<Option<String>, Failure> {
    match text.trim().is_empty() {
        true => Err(Failure::new(
            Kind::Usage,
            "nothing is asked; see `hark ask --help`",
        )),
        false => Ok(Some(text)),
    }
}

/// What may be written, if not anything.
fn grammar(args: &Args) -> Result<Option<Grammar>, Failure> {
    let Some(path) = args.grammar.as_ref().or(args.schema.as_ref()) else {
        return Ok(None);
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Kind::Usage, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let grammar = match args.schema.is_some() {
        true => {
            let schema = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
            Grammar::from_schema(&schema)
        }
        false => Grammar::from_gbnf(&text),
    };
    grammar.map(Some).map_err(|error| wrong(&error))
}

fn load(args: &Args, globals: &Globals) -> Result<Answerer, Failure> {
    let setup = Setup::load(globals)?;
    let compute = globals.compute.is_some().then(|| setup.compute());
    let configured = &setup.config.responder.model;
    let name = args.answer_model.as_ref().unwrap_or(configured);
    let Language {
        model,
        tokenizer,
        chat,
        exec,
    } = Language::of(&setup, name, (args.context as usize, KvType::F16), compute)?;
    let room = (args.context as usize, args.max_tokens as usize);
    Ok(Answerer::new(model, tokenizer, chat, exec, room))
}

/// A conversation.
struct Talk {
    answerer: Answerer,
    constraint: Option<Constraint>,
    messages: Vec<Message>,
    sampling: Sampling,
    out: Out,
    is_json: bool,
}

impl Talk {
    /// One question and its answer.
    fn ask(&mut self, text: String, stopped: &dyn Fn() -> bool) -> Result<(), Failure> {
        self.messages.push(Message {
            role: Role::User,
            content: text,
        });
        let failed = std::cell::Cell::new(None);
        let (out, is_json, is_broken) = (&mut self.out, self.is_json, AtomicBool::new(false));
        if let Some(constraint) = &mut self.constraint {
            constraint.reset();
        }
        let asking = Asking {
            messages: &self.messages,
            sampling: self.sampling,
            constraint: self.constraint.as_mut(),
            slides: false,
        };
        let answer = self.answerer.answer(asking, &mut |new| {
            let new = printable(new);
            if !is_json && let Err(failure) = out.write(&new).and_then(|()| out.flush()) {
                failed.set(Some(failure));
                is_broken.store(true, Ordering::Relaxed);
            }
            !is_broken.load(Ordering::Relaxed) && !stopped()
        })?;
        if let Some(failure) = failed.take() {
            return Err(failure);
        }
        match self.is_json {
            true => self.out.line(&json::pretty(&described(&answer)))?,
            false => self.out.line("")?,
        }
        self.messages.push(Message {
            role: Role::Assistant,
            content: answer.text,
        });
        Ok(())
    }

    /// Questions until an empty line or the end of standard input.
    fn converse(&mut self, stopped: &dyn Fn() -> bool) -> Result<(), Failure> {
        let is_terminal = io::stdin().is_terminal();
        let mut lines = io::stdin().lock().lines();
        while !stopped() {
            if is_terminal {
                eprint!("> ");
                let _ = io::stderr().flush();
            }
            let Some(line) = lines.next() else {
                return Ok(());
            };
            let line = line.map_err(|error| {
                Failure::new(Kind::Input, format!("cannot read standard input: {error}"))
            })?;
            let line = line.trim();
            if line.is_empty() {
                return Ok(());
            }
            self.ask(line.to_owned(), stopped)?;
        }
        Ok(())
    }
}

fn described(answer: &Answer) -> serde_json::Value {
    json!({
        "text": answer.text,
        "end": match answer.end {
            End::Complete => "complete",
            End::Length => "length",
            End::Stopped => "stopped",
        },
        "prompt_tokens": answer.n_prompt,
        "reused_tokens": answer.n_reused,
        "tokens": answer.n_tokens,
        "first_token_ms": (1_000.0 * answer.first_s).round(),
        "tokens_per_s": match answer.rest_s > 0.0 {
            true => (10.0 * answer.n_tokens as f64 / answer.rest_s).round() / 10.0,
            false => 0.0,
        },
    })
}
