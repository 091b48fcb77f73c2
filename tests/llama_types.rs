//! Language models whose matrices are stored in each type that a file may have, at every level of this machine.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use hark::format::LlamaFile;
use hark::kernels::{BlockFormat, Cpu, Exec, QuantizedRows};
use hark::llama::Llama;
use hark::nn::{Compute, Linear, Loader, Output};
use hark::quant::{self, BlockType};
use support::gguf::{Gguf, llama};
use support::random::Random;

const N_STATE: usize = 256;
const N_FF: usize = 512;
const N_VOCAB: usize = 23;
/// Keys and values have half as many heads.
const N_KV: usize = N_STATE / 2;

/// Where the halves that scale a block lie in it, in bytes.
fn halves(block: BlockType) -> &'static [usize] {
    match block {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => &[],
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 | BlockType::IQ4_NL => &[0],
        BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4K | BlockType::Q5K => &[0, 2],
        BlockType::Q2K => &[80, 82],
        BlockType::Q3K => &[108],
        BlockType::Q6K => &[208],
    }
}

/// A matrix of random codes with root mean square `size`: its blocks and the numbers they stand for.
fn matrix(block: BlockType, n: usize, size: f32, random: &mut Random) -> (Vec<u8>, Vec<f32>) {
    let mut x: Vec<f32> = (0..n).map(|_| random.centred() * 3.46 * size).collect();
    let mut bytes = Vec::new();
    if halves(block).is_empty() {
        quant::quantize(block, &x, &mut bytes).unwrap();
        quant::dequantize(block, &bytes, &mut x).unwrap();
        return (bytes, x);
    }
    let n_bytes = block.bytes_for(n).unwrap();
    bytes.extend((0..n_bytes).map(|_| random.below(256) as u8));
    let scales: Vec<f32> = (0..n_bytes).map(|_| 1.0 + random.centred()).collect();
    // First of any size, then of the right one.
    let mut factor = 1.0;
    for _ in 0..2 {
        for (i, bytes) in bytes.chunks_exact_mut(block.block_bytes()).enumerate() {
            for (j, &at) in halves(block).iter().enumerate() {
                // A second half is a minimum, on the other side of zero.
                let sign = if j == 0 || block.block_len() == 256 {
                    1.0
                } else {
                    -8.0
                };
                let scale = half::f16::from_f32(factor * sign * scales[2 * i + j]);
                bytes[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        quant::dequantize(block, &bytes, &mut x).unwrap();
        let square = x.iter().map(|x| x * x).sum::<f32>() / n as f32;
        factor *= size / square.sqrt();
    }
    (bytes, x)
}

/// One layer in a type, and the same in floats.
fn models(block: BlockType) -> [Gguf; 2] {
    let mut random = Random::new(11);
    let header = || llama(1, N_STATE as u32, N_FF as u32, (8, 4));
    let mut files = [header(), header()];
    for (name, shape) in [
        ("token_embd", &[N_VOCAB, N_STATE][..]),
        ("output_norm", &[N_STATE]),
        ("output", &[N_VOCAB, N_STATE]),
        ("blk.0.attn_norm", &[N_STATE]),
        ("blk.0.attn_q", &[N_STATE, N_STATE]),
        ("blk.0.attn_k", &[N_KV, N_STATE]),
        ("blk.0.attn_v", &[N_KV, N_STATE]),
        ("blk.0.attn_output", &[N_STATE, N_STATE]),
        ("blk.0.ffn_norm", &[N_STATE]),
        ("blk.0.ffn_gate", &[N_FF, N_STATE]),
        ("blk.0.ffn_up", &[N_FF, N_STATE]),
        ("blk.0.ffn_down", &[N_STATE, N_FF]),
    ] {
        let name = format!("{name}.weight");
        let n: usize = shape.iter().product();
        let [a, b] = files;
        files = if let [_, n_in] = *shape {
            let (bytes, x) = matrix(block, n, 1.0 / (n_in as f32).sqrt(), &mut random);
            [
                a.blocks(&name, shape, block, bytes),
                b.tensor(&name, shape, BlockType::F32, x),
            ]
        } else {
            let x: Vec<f32> = (0..n).map(|_| 1.0 + random.centred()).collect();
            [a, b].map(|file| file.tensor(&name, shape, BlockType::F32, x.clone()))
        };
    }
    files
}

fn opened(folder: &Path, file: &Gguf) -> LlamaFile {
    let path = folder.join("model.gguf");
    std::fs::write(&path, file.bytes().0).unwrap();
    LlamaFile::open(&path).unwrap()
}

/// The arithmetic that a type is loaded in.
fn compute(block: BlockType) -> Compute {
    Compute::Blocks(BlockFormat::holding(block).unwrap_or(BlockFormat::Q8_0))
}

/// Activations that 8 bits hold exactly, so that only the weights' way through the file, the packing and the
/// products remains.
#[test]
fn products_are_those_of_the_numbers_in_the_file() {
    let mut random = Random::new(3);
    let n = 5;
    let whole = |i: usize, random: &mut Random| match i % 32 {
        0 => 127.0,
        _ => random.below(255) as f32 - 127.0,
    };
    let x: Vec<f32> = (0..n * N_STATE).map(|i| whole(i, &mut random)).collect();
    for block in BlockType::ALL {
        let [file, floats] = models(block);
        let folder = tempfile::tempdir().unwrap();
        let mut weights = Vec::new();
        let name = "blk.0.ffn_gate.weight";
        let plain = opened(folder.path(), &floats);
        plain.read(name, &mut weights).unwrap();
        let file = opened(folder.path(), &file);
        let wanted: Vec<f64> = x
            .chunks_exact(N_STATE)
            .flat_map(|x| {
                let rows = weights.chunks_exact(N_STATE);
                rows.map(|w| {
                    x.iter()
                        .zip(w)
                        .map(|(x, w)| f64::from(*x) * f64::from(*w))
                        .sum()
                })
            })
            .collect();
        let size = (wanted.iter().map(|y: &f64| y * y).sum::<f64>() / wanted.len() as f64).sqrt();
        // Codes are kept, with scales of K types rounded to halves; what has other codes is rounded to 8 bits.
        let tolerance = match block {
            BlockType::Q4K | BlockType::Q5K => 3e-3,
            _ if BlockFormat::holding(block).is_some() => 1e-5,
            _ => 3e-2,
        };
        for cpu in Cpu::available() {
            for compute in [compute(block), Compute::F32] {
                let exec = Exec::new(cpu, 2);
                let mut loader = Loader::new(&file, cpu, compute);
                let linear = Linear::new(loader.matrix(name, N_FF, N_STATE).unwrap(), None);
                let mut rows = QuantizedRows::with_capacity(n, N_STATE);
                let mut y = vec![f32::NAN; n * N_FF];
                linear.forward(&exec, &x, &mut rows, Output::Plain, &mut y);
                let apart = y
                    .iter()
                    .zip(&wanted)
                    .map(|(y, w)| (f64::from(*y) - w).abs());
                let farthest = apart.fold(0.0, f64::max) / size;
                let tolerance = if compute == Compute::F32 {
                    1e-5
                } else {
                    tolerance
                };
                let what = format!("{} {} {}", block.name(), cpu.name(), compute.name());
                assert!(farthest <= tolerance, "{what}: {farthest}");
            }
        }
    }
}

/// A whole model in the arithmetic it chooses by itself, against the same in floats.
#[test]
fn a_model_in_any_type_says_what_it_says_in_floats() {
    let tokens = [3, 19, 7];
    for block in BlockType::ALL {
        let [file, floats] = models(block);
        let folder = tempfile::tempdir().unwrap();
        let exec = Exec::new(Cpu::from_env().unwrap(), 2);
        let plain = opened(folder.path(), &floats);
        let plain = Llama::load(&plain, exec.cpu(), Some(Compute::F32)).unwrap();
        let mut state = plain.new_state(8);
        let wanted = plain.forward(&exec, &tokens, &mut state).to_vec();
        let file = opened(folder.path(), &file);
        for cpu in Cpu::available() {
            let exec = Exec::new(cpu, 2);
            let model = Llama::load(&file, cpu, None).unwrap();
            let mut state = model.new_state(8);
            let found = model.forward(&exec, &tokens, &mut state);
            let square = |x: f32| f64::from(x).powi(2);
            let apart: f64 = found.iter().zip(&wanted).map(|(a, b)| square(a - b)).sum();
            let size: f64 = wanted.iter().map(|x| square(*x)).sum();
            let apart = (apart / size).sqrt();
            assert!(
                size > 0.0 && apart < 0.03,
                "{} {cpu:?}: {apart}",
                block.name()
            );
        }
    }
}
