//! Keys and values of a text: in 8 bits, and with the middle of the text forgotten.

#![allow(clippy::unwrap_used)]

mod support;

use hark::format::LlamaFile;
use hark::kernels::{Cpu, Exec};
use hark::llama::{KvType, Llama, Memory, State};
use hark::nn::Compute;
use support::made_up::{FAMILIES, MadeUp, text};

fn loaded(made: MadeUp, exec: &Exec) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let file = LlamaFile::open(&made.written(folder.path())).unwrap();
    Llama::load(&file, exec.cpu(), Some(Compute::F32)).unwrap()
}

fn exec(n_threads: usize) -> Exec {
    Exec::new(Cpu::from_env().unwrap(), n_threads)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The difference of two rows of logits, as a part of their size.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let size: f64 = a.iter().map(|a| square(*a)).sum();
    (difference / size).sqrt()
}

fn logits_of(model: &Llama, exec: &Exec, state: &mut State, tokens: &[u32]) -> Vec<f32> {
    model.forward(exec, tokens, state).to_vec()
}

#[test]
fn eight_bits_are_near_sixteen() {
    for family in FAMILIES {
        let exec = exec(2);
        let model = loaded(MadeUp::new(family, 3), &exec);
        let mut states = [KvType::F16, KvType::Q8_0].map(|kv| model.new_state_with(80, kv));
        assert_eq!(states[1].kv_type(), KvType::Q8_0);
        let [wide, narrow] = [0, 1].map(|i| logits_of(&model, &exec, &mut states[i], &text(70, 1)));
        let apart = apart(&wide, &narrow);
        assert!(apart > 0.0 && apart < 0.03, "{family}: {apart}");
    }
}

#[test]
fn in_eight_bits_too_a_text_may_be_read_in_any_pieces() {
    let tokens = text(70, 2);
    for family in FAMILIES {
        let mut first = None;
        for (n_threads, pieces) in [(1, 70), (2, 70), (1, 1), (2, 9)] {
            let exec = exec(n_threads);
            let model = loaded(MadeUp::new(family, 2), &exec);
            let mut state = model.new_state_with(70, KvType::Q8_0);
            // Something else has been read before, and forgotten.
            model.forward(&exec, &tokens[30..60], &mut state);
            state.truncate(0);
            for piece in tokens.chunks(pieces) {
                model.forward(&exec, piece, &mut state);
            }
            // Read on, and taken back.
            let read = bits(state.logits());
            state.truncate(50);
            model.forward(&exec, &tokens[50..], &mut state);
            assert_eq!(bits(state.logits()), read, "{family} {pieces}");
            assert_eq!(
                *first.get_or_insert(read.clone()),
                read,
                "{family} {pieces}"
            );
        }
    }
}

#[test]
fn eight_bits_take_half_the_memory_where_heads_are_whole_blocks() {
    let folder = tempfile::tempdir().unwrap();
    for (d_head, per_head) in [(32, 34), (40, 80)] {
        let made = MadeUp {
            d_head,
            ..MadeUp::new("llama", 3)
        };
        let file = LlamaFile::open(&made.written(folder.path())).unwrap();
        let wide = Memory::of(&file, None);
        let narrow = Memory::with_kv(&file, None, KvType::Q8_0);
        // Keys and values of two heads in three layers.
        assert_eq!(wide.kv_token, 12 * 2 * d_head);
        assert_eq!(narrow.kv_token, 12 * per_head);
        let exec = exec(1);
        let model = loaded(made, &exec);
        let [wide, narrow] =
            [KvType::F16, KvType::Q8_0].map(|kv| model.new_state_with(1_000, kv).bytes());
        let saved = 1_000 * 12 * (2 * d_head - per_head);
        // Memory begins and ends on cache lines.
        assert!((wide - narrow).abs_diff(saved) <= 12 * 128, "{d_head}");
    }
}

/// Reads `text`, forgets a stretch of it, and returns the state and the logits of what comes next.
fn shifted(
    model: &Llama,
    exec: &Exec,
    kv: KvType,
    (keep, n_drop): (usize, usize),
) -> (State, Vec<f32>) {
    let mut state = model.new_state_with(64, kv);
    model.forward(exec, &text(40, 3), &mut state);
    model.shift(exec, &mut state, keep, n_drop);
    let logits = logits_of(model, exec, &mut state, &[7]);
    (state, logits)
}

/// With one layer, keys and values are those of a text that never had what is forgotten.
#[test]
fn one_layer_forgets_without_a_trace() {
    for family in FAMILIES {
        let exec = exec(2);
        let model = loaded(MadeUp::new(family, 1), &exec);
        for (kv, tolerance) in [(KvType::F16, 2e-3), (KvType::Q8_0, 2e-2)] {
            for (keep, n_drop) in [(0, 1), (0, 25), (3, 7), (5, 34), (4, 36), (40, 0), (9, 0)] {
                let (state, logits) = shifted(&model, &exec, kv, (keep, n_drop));
                let mut left = text(40, 3);
                left.drain(keep..keep + n_drop);
                left.push(7);
                assert_eq!(state.tokens(), left);
                let mut fresh = model.new_state_with(64, kv);
                let wanted = logits_of(&model, &exec, &mut fresh, &left);
                let apart = apart(&wanted, &logits);
                let what = format!("{family} {kv:?} {keep} {n_drop}: {apart}");
                assert!(apart < tolerance, "{what}");
                // Nothing has moved: the same bits.
                if n_drop == 0 || keep + n_drop == 40 {
                    assert_eq!(bits(&wanted), bits(&logits), "{what}");
                }
            }
        }
    }
}

/// Gemma's sixth layer sees all positions and turns by another base than those before it, which add nothing here.
#[test]
fn every_layer_turns_back_by_its_own_base() {
    let exec = exec(2);
    let made = MadeUp {
        n_silent: 5,
        ..MadeUp::new("gemma3", 6)
    };
    let model = loaded(made, &exec);
    let (state, logits) = shifted(&model, &exec, KvType::F16, (8, 11));
    let mut fresh = model.new_state(64);
    let wanted = logits_of(&model, &exec, &mut fresh, state.tokens());
    let apart = apart(&wanted, &logits);
    assert!(apart < 2e-3, "{apart}");
}

#[test]
fn what_stands_before_is_untouched_and_threads_leave_no_trace() {
    for family in FAMILIES {
        for kv in [KvType::F16, KvType::Q8_0] {
            let mut first = None;
            for n_threads in [1, 3] {
                let exec = exec(n_threads);
                let model = loaded(MadeUp::new(family, 3), &exec);
                let (mut state, logits) = shifted(&model, &exec, kv, (10, 9));
                let all = bits(&logits);
                assert_eq!(*first.get_or_insert(all.clone()), all, "{family} {kv:?}");
                // Back to what was kept, and on: as if nothing else had ever been read.
                state.truncate(10);
                let again = logits_of(&model, &exec, &mut state, &[3, 4]);
                let mut fresh = model.new_state_with(64, kv);
                model.forward(&exec, &text(40, 3)[..10], &mut fresh);
                let wanted = logits_of(&model, &exec, &mut fresh, &[3, 4]);
                assert_eq!(bits(&wanted), bits(&again), "{family} {kv:?}");
            }
        }
    }
}

/// A text of any length goes through a state of a few positions.
#[test]
fn a_text_goes_on_and_on() {
    let exec = exec(2);
    let model = loaded(MadeUp::new("llama", 2), &exec);
    let mut state = model.new_state_with(24, KvType::Q8_0);
    for (i, token) in text(500, 9).into_iter().enumerate() {
        if state.tokens().len() == state.n_ctx() {
            model.shift(&exec, &mut state, 4, 10);
        }
        let logits = model.forward(&exec, &[token], &mut state);
        assert!(logits.iter().all(|x| x.is_finite()), "{i}");
    }
    assert_eq!(state.tokens()[..4], text(500, 9)[..4]);
    assert_eq!(state.tokens().last(), text(500, 9).last());
}

#[test]
#[should_panic(expected = "the text ends before")]
fn what_was_never_read_cannot_be_forgotten() {
    let exec = exec(1);
    let model = loaded(MadeUp::new("llama", 1), &exec);
    let mut state = model.new_state(8);
    model.forward(&exec, &[1, 2, 3], &mut state);
    model.shift(&exec, &mut state, 2, 2);
}
