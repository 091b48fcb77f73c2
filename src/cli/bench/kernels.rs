//! `hark bench kernels`: matrix products and attention at Whisper's shapes, beside what the
//! machine could do at best.
//!
//! Products with few rows read their weights from memory, as a decoder does: they go round among
//! copies that no cache holds together.

use std::time::Instant;

use clap::Args as ClapArgs;
use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::machine;
use super::report::{Figures, Report};
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::event::round_to;
use crate::kernels::{
    self, Attention, BlockFormat, Cpu, Epilogue, Exec, KvElem, Mask, Number, PackedBlocks,
    PackedF32, PackedI8, Peak, QuantizedRows,
};
use crate::nn::{Compute, KvCache};

const EXAMPLES: &str = "\
Examples:
  hark bench kernels
  hark bench kernels --threads 1 --runs 9
  HARK_SIMD=avx2 hark bench kernels --json";

/// Outputs and inputs of the layers of tiny and base: attention, both halves of the MLP, and
/// query, key and value in one.
const LAYERS: [[usize; 2]; 8] = [
    [384, 384],
    [1536, 384],
    [384, 1536],
    [1152, 384],
    [512, 512],
    [2048, 512],
    [512, 2048],
    [1536, 512],
];
/// The output projection of tiny.
const LOGITS: [usize; 2] = [51_864, 384];
/// Rows: a whole window, a short one, a draft, a token.
const ROWS: [usize; 4] = [1500, 150, 8, 1];
/// With at most so many rows the weights come from memory.
const MAX_FEW_ROWS: usize = 8;
/// Memory that the copies of the weights fill together, and that the reading loop reads: more than
/// a cache.
const BEYOND_CACHE_BYTES: usize = 96 << 20;
/// One run of a measurement lasts at least so long.
const RUN_S: f64 = 0.01;
/// Frames of a window, and heads of tiny with their length.
const N_FRAMES: usize = 1500;
const N_HEAD: usize = 6;
const D_HEAD: usize = 64;

/// Matrix products and attention at Whisper's shapes, beside the limits of the machine
///
/// GMAC/s are thousand millions of multiplications with addition a second, GB/s what is read of
/// the weights. The share is that of the greatest limit found before: of the instruction for many
/// rows, of the memory for one.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How often each is measured; the figure is the median, with the least and the greatest
    #[arg(long, value_name = "N", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let setup = Setup::load(globals)?;
    let cpu = Cpu::from_env()?;
    let bench = Bench {
        exec: Exec::new(cpu, setup.n_threads()),
        n_runs: usize::from(args.runs),
    };
    let limits = bench.limits();
    let mut report = Report::default();
    report.put("bench", "kernels");
    report.put("machine", machine::name());
    report.put("threads", json!(bench.exec.n_threads()));
    report.put("simd", cpu.name());
    report.put("kernels", json!(kernels::tile_names(cpu)));
    // What other measurements have and this one does without.
    for name in ["model", "compute", "decoding"] {
        report.put(name, Value::Null);
    }
    report.put("runs", json!(args.runs));
    limits.put(&mut report);
    report.table("matmul", bench.products(&limits));
    report.table("attention", bench.attentions(&limits));
    report.print(globals)
}

/// What the machine could do, all threads together.
struct Limits {
    f32_gmacs: Figures,
    f32_by: &'static str,
    i8_gmacs: Figures,
    i8_by: &'static str,
    /// Where the level computes in it.
    bf16_gmacs: Option<Figures>,
    read_gbs: Figures,
}

impl Limits {
    fn put(&self, report: &mut Report) {
        report.measured("limit_f32_gmacs", self.f32_gmacs);
        report.put("limit_f32_by", self.f32_by);
        report.measured("limit_int8_gmacs", self.i8_gmacs);
        report.put("limit_int8_by", self.i8_by);
        if let Some(gmacs) = self.bf16_gmacs {
            report.measured("limit_bf16_gmacs", gmacs);
        }
        report.measured("limit_read_gbs", self.read_gbs);
    }

    fn gmacs(&self, compute: Compute) -> f64 {
        match compute {
            Compute::F32 => self.f32_gmacs.max,
            Compute::Int8 | Compute::Blocks(_) => self.i8_gmacs.max,
        }
    }
}

/// Where and how often it is measured.
struct Bench {
    exec: Exec,
    n_runs: usize,
}

impl Bench {
    /// How many times a second `f` is done. The first time fills caches and is not counted.
    fn per_second(&self, mut f: impl FnMut() + Send) -> Figures {
        self.exec.run(|| {
            let begin = Instant::now();
            f();
            let once_s = begin.elapsed().as_secs_f64().max(1e-9);
            let n = (RUN_S / once_s).ceil().clamp(1.0, 1e6) as usize;
            Figures::of((0..self.n_runs).map(|_| {
                let begin = Instant::now();
                (0..n).for_each(|_| f());
                n as f64 / begin.elapsed().as_secs_f64().max(1e-9)
            }))
        })
    }

    fn limits(&self) -> Limits {
        let cpu = self.exec.cpu();
        let (f32s, i8s) = (kernels::peak_f32(cpu), kernels::peak_i8(cpu));
        let memory = vec![1_u64; BEYOND_CACHE_BYTES / 8];
        let read = || {
            let least = memory.len() / self.exec.n_threads();
            self.exec.for_each_chunk(memory.len(), least, |range| {
                kernels::read(cpu, &memory[range])
            });
        };
        Limits {
            f32_gmacs: self.peak(&f32s),
            f32_by: f32s.by.name(),
            i8_gmacs: self.peak(&i8s),
            i8_by: i8s.by.name(),
            bf16_gmacs: kernels::peak_bf16(cpu).map(|peak| self.peak(&peak)),
            read_gbs: self.per_second(read).times(BEYOND_CACHE_BYTES as f64 / 1e9),
        }
    }

    /// GMAC/s of a loop that all threads run.
    fn peak(&self, peak: &Peak) -> Figures {
        /// Calls of a thread: much longer than waking it takes.
        const N_CALLS: usize = 100;
        let n_threads = self.exec.n_threads();
        let all = || {
            self.exec.for_each_chunk(n_threads, 1, |threads| {
                threads.for_each(|_| (0..N_CALLS).for_each(|_| peak.run()));
            });
        };
        let macs = peak.macs * N_CALLS * n_threads;
        self.per_second(all).times(macs as f64 / 1e9)
    }

    fn products(&self, limits: &Limits) -> Vec<(String, Map<String, Value>)> {
        let mut rows = Vec::new();
        for compute in [
            Compute::Int8,
            Compute::F32,
            Compute::Blocks(BlockFormat::Q5_1),
        ] {
            for [n_out, n_in] in LAYERS {
                let weights = Copies::new(self.exec.cpu(), compute, n_out, n_in);
                for m in ROWS {
                    rows.push(self.product(&weights, m, limits));
                }
            }
            let weights = Copies::new(self.exec.cpu(), compute, LOGITS[0], LOGITS[1]);
            rows.push(self.product(&weights, 1, limits));
        }
        rows
    }

    fn product(&self, weights: &Copies, m: usize, limits: &Limits) -> (String, Map<String, Value>) {
        let (n, k, compute) = (weights.n_out, weights.n_in, weights.compute);
        let x = wave(m * k);
        let mut out = vec![0.0; m * n];
        let mut rows = QuantizedRows::with_capacity(m, k);
        match compute {
            Compute::Blocks(_) => rows.quantize_blocks(&self.exec, &x, k),
            Compute::F32 | Compute::Int8 => rows.quantize(&self.exec, &x, k),
        }
        let n_copies = if m <= MAX_FEW_ROWS { weights.n() } else { 1 };
        let mut at = 0;
        let rate = self.per_second(|| {
            at = (at + 1) % n_copies;
            let epilogue = Epilogue::default();
            match &weights.all {
                All::F32(all) => kernels::matmul_f32(&self.exec, &x, &all[at], &epilogue, &mut out),
                All::I8(all) => {
                    kernels::matmul_i8(&self.exec, &rows, &all[at], &epilogue, &mut out)
                }
                All::Blocks(all) => {
                    kernels::matmul_blocks(&self.exec, &rows, &all[at], &epilogue, &mut out)
                }
            }
        });
        let gmacs = rate.times((m * n * k) as f64 / 1e9);
        let gbs = rate.times(weights.bytes() as f64 / 1e9);
        let mut object = Map::new();
        for (name, value) in [("m", m), ("n", n), ("k", k)] {
            object.insert(name.to_owned(), json!(value));
        }
        object.insert("compute".to_owned(), json!(compute.name()));
        gmacs.put("gmacs", &mut object);
        let (limit, text) = if m == 1 {
            gbs.put("gbs", &mut object);
            let text = format!("{:7.1} GMAC/s {:6.1} GB/s", gmacs.median, gbs.median);
            (gbs.median / limits.read_gbs.max, text)
        } else {
            let text = format!("{:7.1} GMAC/s {:11}", gmacs.median, "");
            (gmacs.median / limits.gmacs(compute), text)
        };
        object.insert("share".to_owned(), json!(round_to(limit, 1000.0)));
        let name = compute.name();
        let line = format!(
            "{name:5} {m:5} x {n:5} x {k:4} {text} {:4.0} %",
            100.0 * limit
        );
        (line, object)
    }

    fn attentions(&self, limits: &Limits) -> Vec<(String, Map<String, Value>)> {
        let mut rows = vec![
            self.attention::<f32>("f32", N_FRAMES, limits.f32_gmacs),
            self.attention::<f16>("f16", 1, limits.f32_gmacs),
        ];
        if let Some(limit) = limits.bf16_gmacs {
            rows.push(self.attention::<bf16>("bf16", N_FRAMES, limit));
        }
        rows
    }

    /// `n_q` queries see a whole window of keys and values.
    fn attention<T: KvElem + Number>(
        &self,
        name: &str,
        n_q: usize,
        limit: Figures,
    ) -> (String, Map<String, Value>) {
        let n_state = N_HEAD * D_HEAD;
        let q = wave(n_q * n_state);
        let mut out = vec![0.0; q.len()];
        let mut kv = KvCache::<T>::new(N_HEAD, D_HEAD, N_FRAMES);
        let x = wave(N_FRAMES * n_state);
        kv.store(&self.exec, (&x, n_state), (0, 0), 0);
        let attention = Attention {
            q: &q,
            n_q,
            n_head: N_HEAD,
            n_kv_head: N_HEAD,
            d_head: D_HEAD,
            scale: (D_HEAD as f32).powf(-0.5),
            parts: &[kv.part(0..N_FRAMES)],
            mask: Mask::None,
        };
        let rate = self.per_second(|| kernels::attention(&self.exec, &attention, &mut out));
        // Each query is multiplied with each key, and each value with its probability.
        let gmacs = rate.times((2 * n_q * N_FRAMES * n_state) as f64 / 1e9);
        let share = gmacs.median / limit.max;
        let mut object = Map::new();
        object.insert("keys_as".to_owned(), json!(name));
        for (name, value) in [
            ("queries", n_q),
            ("keys", N_FRAMES),
            ("heads", N_HEAD),
            ("d_head", D_HEAD),
        ] {
            object.insert(name.to_owned(), json!(value));
        }
        gmacs.put("gmacs", &mut object);
        object.insert("share".to_owned(), json!(round_to(share, 1000.0)));
        let line = format!(
            "{name:4} {n_q:5} queries x {N_FRAMES} keys, {N_HEAD} heads of {D_HEAD} {:7.1} GMAC/s {:4.0} %",
            gmacs.median,
            100.0 * share
        );
        (line, object)
    }
}

/// A weight matrix, so often that no cache holds all.
struct Copies {
    compute: Compute,
    n_out: usize,
    n_in: usize,
    all: All,
}

enum All {
    F32(Vec<PackedF32>),
    I8(Vec<PackedI8>),
    Blocks(Vec<PackedBlocks>),
}

impl Copies {
    fn new(cpu: Cpu, compute: Compute, n_out: usize, n_in: usize) -> Self {
        let w = wave(n_out * n_in);
        let n = |bytes: usize| BEYOND_CACHE_BYTES.div_ceil(bytes);
        let all = match compute {
            Compute::F32 => {
                let copy = |_| PackedF32::new(cpu, &w, n_out, n_in);
                All::F32((0..n(4 * w.len())).map(copy).collect())
            }
            Compute::Int8 => {
                let copy = |_| PackedI8::new(cpu, &w, n_out, n_in);
                All::I8((0..n(w.len())).map(copy).collect())
            }
            Compute::Blocks(format) => {
                let one = PackedBlocks::new(format, &w, n_out, n_in);
                let n_copies = n(one.bytes());
                All::Blocks((0..n_copies).map(|_| one.clone()).collect())
            }
        };
        Copies {
            compute,
            n_out,
            n_in,
            all,
        }
    }

    fn n(&self) -> usize {
        match &self.all {
            All::F32(all) => all.len(),
            All::I8(all) => all.len(),
            All::Blocks(all) => all.len(),
        }
    }

    /// Of one copy.
    fn bytes(&self) -> usize {
        match &self.all {
            All::F32(all) => all.first().map_or(0, PackedF32::bytes),
            All::I8(all) => all.first().map_or(0, PackedI8::bytes),
            All::Blocks(all) => all.first().map_or(0, PackedBlocks::bytes),
        }
    }
}

/// Numbers between -1 and 1 without order.
fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.618).sin()).collect()
}
