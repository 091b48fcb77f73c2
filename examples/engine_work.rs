//! The engine's bare work, for counting instructions: `engine_work MODEL FRAMES WINDOWS STEPS`.
//!
//! Loads MODEL in int8 on one thread at the level of `HARK_SIMD`, encodes WINDOWS windows of FRAMES
//! frames (50 a second) with cached silence behind them, and decodes STEPS tokens one after the
//! other. Two runs that differ in one number tell what that costs; `scripts/count.sh` does it for
//! every level.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use hark::format::WhisperFile;
use hark::kernels::{Cpu, Exec};
use hark::nn::Compute;
use hark::whisper::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, frames, windows, steps] = &arguments[..] else {
        return Err("usage: engine_work MODEL FRAMES WINDOWS STEPS".into());
    };
    let (frames, windows, steps) = (frames.parse()?, windows.parse()?, steps.parse()?);
    work(Path::new(model), frames, windows, steps)
}

fn work(model: &Path, frames: usize, windows: usize, steps: u32) -> Result<(), Box<dyn Error>> {
    let exec = Exec::new(Cpu::from_env()?, 1);
    let file = WhisperFile::open(model)?;
    let model = Model::load(&file, exec, Compute::Int8)?;
    let (exec, encoder, decoder) = (model.exec(), model.encoder(), model.decoder());
    let frames = frames.min(model.dims().n_audio_ctx);
    let mel: Vec<f32> = (0..2 * frames * model.dims().n_mels)
        .map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0)
        .collect();
    let mut state = encoder.new_state();
    let mut cross = decoder.new_cross();
    let mut text = decoder.new_state();
    for _ in 0..windows {
        let mut go_on = |_: hark::whisper::Stage<'_>| ControlFlow::Continue(());
        let _ = encoder.forward(exec, &mel, None, &mut state, &mut go_on);
    }
    decoder.cross(exec, &mel[..0], None, &mut cross);
    if steps > 0 {
        // What the numbers are does not matter to the count.
        let audio = vec![0.5; frames * model.dims().n_audio_state];
        decoder.cross(exec, &audio, None, &mut cross);
    }
    for token in 0..steps {
        decoder.forward(exec, &[token], &cross, &mut text, 1);
    }
    println!("{}", hark::kernels::tile_names(exec.cpu()).join(", "));
    Ok(())
}
