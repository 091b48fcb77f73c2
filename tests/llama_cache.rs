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
