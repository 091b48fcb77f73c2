//! Keys and values in blocks of 8 bits.

use super::super::kv_elem::{from_q8, to_q8};
use super::super::*;
use super::attention::attention64;
use super::{assert_close, noise};
use crate::quant::{self, BlockType};

/// Rows of several sizes: silence, tiny and huge numbers among them.
fn rows() -> Vec<f32> {
    let mut x = noise(32 * 64, 1);
    for (i, x) in x.chunks_exact_mut(32).enumerate() {
        let scale = [1.0, 0.0, 1e-30, 3e5, 1e-4][i % 5];
        x.iter_mut().for_each(|x| *x *= scale);
    }
    x
}

#[test]
fn blocks_are_those_of_q8_0() {
    let x = rows();
    let mut wanted = Vec::new();
    quant::quantize(BlockType::Q8_0, &x, &mut wanted).unwrap();
    let mut read = vec![f32::NAN; x.len()];
    quant::dequantize(BlockType::Q8_0, &wanted, &mut read).unwrap();
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let mut blocks = vec![Q8Block::default(); x.len() / 32];
        let mut again = vec![f32::NAN; x.len()];
        kv_narrow(&exec, &x, &mut blocks);
        kv_widen(&exec, &blocks, &mut again);
        for ((x, read), again) in x.chunks(32).zip(read.chunks(32)).zip(again.chunks(32)) {
            let largest = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (i, (read, again)) in read.iter().zip(again).enumerate() {
                // The same code, but where a number is halfway between two.
                let step = largest / 127.0;
                let halfway = (x[i] / step).fract().abs() - 0.5;
                assert!(
                    (read - again).abs() <= step * 1e-6 || halfway.abs() < 1e-4,
                    "{cpu:?} {i}: {read} {again}"
                );
            }
        }
        // Every level rounds alike.
        let mut reference = vec![Q8Block::default(); blocks.len()];
        let mut numbers = vec![f32::NAN; x.len()];
        to_q8(&x, &mut reference);
        from_q8(&reference, &mut numbers);
        assert_eq!(blocks, reference, "{cpu:?}");
        assert_eq!(again, numbers, "{cpu:?}");
    }
}

#[test]
fn what_is_no_number_does_no_harm() {
    let exec = Exec::new(Cpu::detect(), 1);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-42] {
        let mut x = noise(64, 1);
        x[3] = bad;
        let mut blocks = [Q8Block::default(); 2];
        let mut out = [7.0; 64];
        kv_narrow(&exec, &x, &mut blocks);
        kv_widen(&exec, &blocks, &mut out);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.01;
        assert!(out[32..].iter().zip(&x[32..]).all(near), "{bad}");
    }
}

/// Odd ranges, shared heads and masks, against the definition with the numbers that the blocks stand for.
#[test]
fn attention_in_blocks_equals_the_definition() {
    for cpu in Cpu::available() {
        for (n_q, n_head, n_kv_head, d_head, n_keys) in [
            (1, 1, 1, 32, 1),
            (3, 2, 2, 64, 5),
            (17, 4, 2, 32, 127),
            (33, 3, 1, 96, 129),
            (1, 8, 2, 128, 300),
            (5, 2, 1, 256, 65),
        ] {
            let exec = Exec::new(cpu, 1 + n_q % 2);
            let capacity = n_keys + 3;
            let blocks = |seed| {
                let x = noise(n_kv_head * capacity * d_head, seed);
                let mut blocks = vec![Q8Block::default(); x.len() / 32];
                let mut again = x.clone();
                kv_narrow(&exec, &x, &mut blocks);
                kv_widen(&exec, &blocks, &mut again);
                // The reference has keys for every head.
                let heads = again.chunks_exact(capacity * d_head);
                let own: Vec<f32> = heads
                    .flat_map(|head| head.repeat(n_head / n_kv_head))
                    .collect();
                (blocks, own)
            };
            let ((k, k_own), (v, v_own)) = (blocks(2), blocks(3));
            let q = noise(n_q * n_head * d_head, 1);
            let what = format!("{cpu:?} {n_q} {n_head} {d_head} {n_keys}");
            let masked = n_keys
                .checked_sub(n_q)
                .map(|n_past| Mask::Causal { n_past });
            for mask in [Some(Mask::None), masked].into_iter().flatten() {
                // Without a mask the keys may begin anywhere.
                let range = match mask {
                    Mask::None => 2..n_keys + 2,
                    Mask::Causal { .. } => 0..n_keys,
                };
                let part = KvPart {
                    k: &k[..],
                    v: &v[..],
                    capacity,
                    range: range.clone(),
                };
                let own = KvPart {
                    k: &k_own[..],
                    v: &v_own[..],
                    capacity,
                    range,
                };
                let scale = 3.0 / (d_head as f32).sqrt();
                let a = Attention {
                    q: &q,
                    n_q,
                    n_head,
                    n_kv_head,
                    d_head,
                    scale,
                    parts: &[part],
                    mask,
                };
                let reference = Attention {
                    q: &q,
                    n_q,
                    n_head,
                    n_kv_head: n_head,
                    d_head,
                    scale,
                    parts: &[own],
                    mask: Mask::None,
                };
                let sees = |i: usize, j: usize| match mask {
                    Mask::None => true,
                    Mask::Causal { n_past } => j <= n_past + i,
                };
                let mut out = vec![f32::NAN; q.len()];
                attention(&exec, &a, &mut out);
                assert_close(&what, &out, &attention64(&reference, sees), 1e-5);
            }
        }
    }
}

#[test]
fn blocks_are_stored_head_by_head() {
    let (n, n_head, d_head, capacity, row_stride) = (3, 2, 64, 5, 200);
    let x = noise(n * row_stride, 1);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let args = KvStore {
            x: &x,
            row_stride,
            offset: 20,
            n_head,
            d_head,
            capacity,
            at: 2,
            side: Side::Values,
        };
        let mut cache = vec![Q8Block::default(); n_head * capacity * d_head / 32];
        kv_store(&exec, &args, &mut cache);
        for head in 0..n_head {
            for position in 0..capacity {
                let mut wanted = [Q8Block::default(); 2];
                if position >= 2 {
                    let at = (position - 2) * row_stride + 20 + head * d_head;
                    kv_narrow(&exec, &x[at..at + d_head], &mut wanted);
                }
                let at = (head * capacity + position) * 2;
                assert_eq!(cache[at..at + 2], wanted, "{cpu:?} {head} {position}");
            }
        }
    }
}
