//! After warm-up nothing allocates memory: neither the sound system's callback and the reading of its
//! ring, nor an encoded window, nor a decoded token.
//!
//! One test alone in its program: whatever allocates meanwhile would be counted, too.

#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hark::audio::{
    AudioSource, CaptureConfig, CaptureCounters, CaptureFormat, Heard, MicSource, capture_ring,
};
use hark::format::{LlamaFile, WhisperFile};
use hark::kernels::{Cpu, Exec};
use hark::llama::{KvType, Llama};
use hark::nn::Compute;
use hark::whisper::{Model, Options, Transcriber};
use support::made_up::{MadeUp, text};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of every thread while `f` runs.
fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    f();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

/// One window of `n_columns`, and `n_tokens` one after the other.
fn engine(model: &Model, n_columns: usize) {
    let (exec, dims) = (model.exec(), model.dims());
    let (encoder, decoder) = (model.encoder(), model.decoder());
    let silence = (n_columns < 2 * dims.n_audio_ctx).then(|| model.silence());
    let mel = vec![0.25; n_columns * dims.n_mels];
    let mut state = encoder.new_state();
    let mut cross = decoder.new_cross();
    let mut text = decoder.new_state();
    exec.run(|| {
        let mut window = || {
            let mut go_on = |_: hark::whisper::Stage<'_>| ControlFlow::Continue(());
            let _ = encoder.forward(exec, &mel, silence, &mut state, &mut go_on);
            decoder.cross(exec, state.output(), silence, &mut cross);
        };
        window();
        let encoded = allocations(&mut window);
        assert_eq!(encoded, 0, "allocations of a window of {n_columns} columns");
        let mut tokens = |n: u32| {
            text.truncate(0);
            for token in 0..n {
                decoder.forward(exec, &[token], &cross, &mut text, 1);
            }
            // And a draft, verified in one pass.
            decoder.forward(exec, &[1, 2, 3, 4, 5], &cross, &mut text, 5);
        };
        tokens(3);
        let decoded = allocations(|| tokens(50));
        assert_eq!(decoded, 0, "allocations of 50 tokens and a draft");
    });
}

/// A prompt, tokens one after the other, and the middle of the text forgotten again and again.
fn language(kv: KvType) {
    let folder = tempfile::tempdir().unwrap();
    let file = LlamaFile::open(&MadeUp::new("gemma3", 6).written(folder.path())).unwrap();
    let exec = Exec::new(Cpu::detect(), 2);
    let model = Llama::load(&file, exec.cpu(), None).unwrap();
    let mut state = model.new_state_with(40, kv);
    let tokens = text(30, 1);
    exec.run(|| {
        let mut run = || {
            state.truncate(0);
            model.forward(&exec, &tokens, &mut state);
            for token in &tokens {
                if state.tokens().len() == state.n_ctx() {
                    model.shift(&exec, &mut state, 4, 8);
                }
                model.forward(&exec, &[*token], &mut state);
            }
        };
        run();
        let n = allocations(run);
        assert_eq!(n, 0, "allocations of a language model, {kv:?}");
    });
}

/// What a whole utterance allocates is its result, and does not grow with the tokens decoded.
fn utterances(model: &Arc<Model>) {
    let clip = |name: &str| {
        let path = support::root().join("tests/data/speech").join(name);
        hark::audio::decode_file(&path).unwrap()
    };
    let long = clip("dictation/dictation_en_0005.flac");
    let short = clip("dictation/dictation_en_0128.flac");
    let mut transcriber = Transcriber::new(model.clone(), Options::default()).unwrap();
    transcriber.utterance(&long);
    let mut measure = |samples: &[f32]| {
        let tokens = transcriber.stats().tokens;
        let n = allocations(|| drop(transcriber.utterance(samples)));
        (n, transcriber.stats().tokens - tokens)
    };
    let (of_long, of_short) = (measure(&long), measure(&short));
    println!("allocations and tokens: {of_long:?} and {of_short:?}");
    assert!(of_long.1 > of_short.1 + 10, "one text is clearly longer");
    assert!(
        of_long.0 <= of_short.0 + 16,
        "allocations, tokens: {of_long:?}, {of_short:?}"
    );
}

/// Sound from a device of 48 kHz on two channels: what the callback does, and what its reader does.
fn capture() {
    let counters = Arc::new(CaptureCounters::default());
    let (mut writer, reader) = capture_ring(48_000, 2, counters.clone());
    let format = CaptureFormat {
        rate_hz: 48_000,
        n_channels: 2,
        sample_format: "i16".into(),
        buffer_frames: None,
    };
    let config = CaptureConfig::default();
    let ring = (reader, counters.clone());
    let mut source = MicSource::over(&config, "test".into(), format, ring, None).unwrap();
    let frames = [1_000_i16; 2 * 960];
    let to_f32 = |sample| f32::from(sample) / 32_768.0;
    let mut samples = Vec::with_capacity(16_000);
    let mut turn = |n_writes: usize| {
        let of_writer = allocations(|| {
            for _ in 0..n_writes {
                writer.write(&frames, to_f32);
                writer.note_lost(7);
                counters.note_xrun();
            }
        });
        samples.clear();
        let of_reader = allocations(|| {
            while source.read(&mut samples).unwrap() != Heard::Nothing {
                samples.clear();
            }
        });
        (of_writer, of_reader)
    };
    // The first turns bring the buffers to their size; in the last the ring overflows.
    turn(5);
    for n_writes in [5, 1, 5, 100] {
        let found = turn(n_writes);
        assert_eq!(found, (0, 0), "callback, reader, after {n_writes} writes");
    }
    assert!(counters.snapshot().n_lost_frames > 1_000);
}

#[test]
fn nothing_is_allocated_per_period_window_or_token() {
    capture();
    language(KvType::F16);
    language(KvType::Q8_0);
    let Some(folder) = support::model("tiny.en") else {
        return;
    };
    let file = WhisperFile::open(&folder).unwrap();
    for (compute, n_threads) in [(Compute::Int8, 1), (Compute::Int8, 2), (Compute::F32, 2)] {
        let exec = Exec::new(Cpu::detect(), n_threads);
        let model = Model::load(&file, exec, compute).unwrap();
        engine(&model, 500);
        engine(&model, 2 * model.dims().n_audio_ctx);
        utterances(&model);
    }
}
