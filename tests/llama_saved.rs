//! Texts on disk: taken up again bit for bit, or not at all.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hark::format::LlamaFile;
use hark::kernels::{Cpu, Exec};
use hark::llama::saved::{self, SavedError};
use hark::llama::{KvType, Llama, State};
use hark::nn::Compute;
use support::made_up::{FAMILIES, MadeUp, text};
use support::random::Random;

fn loaded(made: MadeUp, compute: Compute, cpu: Cpu) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let file = LlamaFile::open(&made.written(folder.path())).unwrap();
    Llama::load(&file, cpu, Some(compute)).unwrap()
}

fn exec() -> Exec {
    Exec::new(Cpu::from_env().unwrap(), 2)
}

fn small() -> Llama {
    loaded(MadeUp::new("qwen3", 1), Compute::F32, exec().cpu())
}

/// A state that has read `n` tokens.
fn read(model: &Llama, kv: KvType, n: usize) -> State {
    let mut state = model.new_state_with(64, kv);
    model.forward(&exec(), &text(n, 3), &mut state);
    state
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_text_goes_on_as_if_it_had_been_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let exec = exec();
    for family in FAMILIES {
        let model = loaded(MadeUp::new(family, 3), Compute::F32, exec.cpu());
        for kv in [KvType::F16, KvType::Q8_0] {
            let mut whole = read(&model, kv, 40);
            saved::save(&path, &model, &whole, 30).unwrap();
            // Room for more, something else in it; and just enough room.
            let (mut roomy, mut narrow) =
                (model.new_state_with(100, kv), model.new_state_with(32, kv));
            model.forward(&exec, &[9, 8, 7], &mut roomy);
            whole.truncate(30);
            let wanted = bits(model.forward(&exec, &[5, 6], &mut whole));
            for state in [&mut roomy, &mut narrow] {
                assert_eq!(saved::load(&path, &model, state).unwrap(), 30);
                assert_eq!(state.tokens(), &text(40, 3)[..30]);
                let logits = bits(model.forward(&exec, &[5, 6], state));
                assert_eq!(logits, wanted, "{family} {kv:?}");
            }
        }
    }
    // Nothing but the text is left in the folder, and only its owner reads it.
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_empty_text_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let model = small();
    saved::save(&path, &model, &model.new_state(8), 0).unwrap();
    let mut state = read(&model, KvType::F16, 5);
    assert_eq!(saved::load(&path, &model, &mut state).unwrap(), 0);
    assert!(state.tokens().is_empty());
}

/// Loads a file that is not for this state; nothing may be left of it.
fn refused(path: &Path, model: &Llama, state: &mut State) -> SavedError {
    let before = state.tokens().to_vec();
    let error = saved::load(path, model, state).unwrap_err();
    assert!(state.tokens().is_empty() || state.tokens() == before);
    error
}

#[test]
fn what_is_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let model = small();
    saved::save(&path, &model, &read(&model, KvType::F16, 9), 9).unwrap();
    let made = MadeUp::new("qwen3", 1);
    let cpu = exec().cpu();
    let others = [
        // Other weights, another family, other arithmetic, another level.
        loaded(MadeUp { seed: 6, ..made }, Compute::F32, cpu),
        loaded(
            MadeUp {
                family: "llama",
                ..made
            },
            Compute::F32,
            cpu,
        ),
        loaded(made, Compute::Int8, cpu),
    ];
    let lower = Cpu::available()
        .into_iter()
        .find(|other| other.name() != cpu.name());
    let lower = lower.map(|cpu| loaded(made, Compute::F32, cpu));
    for other in others.iter().chain(&lower) {
        let error = refused(&path, other, &mut other.new_state(20));
        assert!(matches!(error, SavedError::OtherModel(_)), "{error}");
    }
    let error = refused(&path, &model, &mut model.new_state_with(20, KvType::Q8_0));
    assert!(matches!(error, SavedError::OtherType(_)), "{error}");
    let error = refused(&path, &model, &mut model.new_state(8));
    assert!(
        matches!(error, SavedError::TooLong { n: 9, n_ctx: 8, .. }),
        "{error}"
    );
    let error = refused(folder.path(), &model, &mut model.new_state(8));
    assert!(matches!(error, SavedError::NotOne(_)), "{error}");
    let error = refused(&path.join("none"), &model, &mut model.new_state(8));
    assert!(matches!(error, SavedError::Io { .. }), "{error}");
    // The same weights in another file are the same model.
    let again = small();
    assert_eq!(
        saved::load(&path, &again, &mut again.new_state(9)).unwrap(),
        9
    );
}

#[test]
fn a_file_cut_or_changed_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let model = small();
    let mut state = read(&model, KvType::Q8_0, 5);
    saved::save(&path, &model, &state, 5).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut refused_as = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        refused(&path, &model, &mut state)
    };
    for end in 0..bytes.len() {
        refused_as(&bytes[..end]);
    }
    refused_as(&[&bytes[..], &[0]].concat());
    let mut random = Random::new(8);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << random.below(8);
        let error = refused_as(&changed);
        let is_header = at < 56;
        assert!(
            matches!(error, SavedError::Damaged(_)) || is_header,
            "{at}: {error}"
        );
    }
    for n in [u64::MAX, 1 << 60, 64, 65, 6, 4, 0] {
        let mut changed = bytes.clone();
        changed[48..56].copy_from_slice(&n.to_le_bytes());
        refused_as(&changed);
    }
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(saved::load(&path, &model, &mut state).unwrap(), 5);
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = small();
    let state = read(&model, KvType::F16, 5);
    let nowhere = folder.path().join("none/text");
    assert!(matches!(
        saved::save(&nowhere, &model, &state, 5),
        Err(SavedError::Io { .. })
    ));
    // A folder stands where the file should be.
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("inner")).unwrap();
    assert!(saved::save(&taken, &model, &state, 5).is_err());
    assert!(taken.join("inner").is_dir());
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        1,
        "nothing else is left"
    );
}
