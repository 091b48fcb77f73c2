//! Products with weights in blocks.

use super::super::block_rows::{RECORD_BYTES, SCALE_AT, SUM_AT};
use super::*;
use crate::quant::BlockType;

/// What activations in blocks stand for: every 32 numbers of a row rounded to 255 steps.
fn rounded_in_blocks(x: &[f32], n_in: usize) -> Vec<f32> {
    x.chunks_exact(n_in)
        .flat_map(|row| row.chunks(32).flat_map(|block| rounded(block, block.len())))
        .collect()
}

/// What the weights stand for.
fn unpacked(w: &PackedBlocks) -> Vec<f32> {
    let mut all = vec![f32::NAN; w.n_out() * w.n_in()];
    for (i, row) in all.chunks_exact_mut(w.n_in()).enumerate() {
        w.dequantize_row(i, row);
    }
    all
}

#[test]
fn products_equal_the_sum_over_rounded_numbers() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let mut rows = QuantizedRows::with_capacity(65, 192);
        let mut turn = 0;
        for format in BlockFormat::ALL {
            for (n_out, n_in) in SHAPES {
                let w = PackedBlocks::new(format, &noise(n_out * n_in, 1), n_out, n_in);
                let bias = noise(n_out, 2);
                for n in ROWS {
                    turn += 1;
                    let x = noise(n * n_in, 3);
                    let epilogue = epilogue(turn, &bias);
                    let mut out = before(&epilogue, n * n_out);
                    let x_rounded = rounded_in_blocks(&x, n_in);
                    let shape = (n_out, n_in);
                    let expected = reference(&x_rounded, &unpacked(&w), shape, &epilogue, &out);
                    rows.quantize_blocks(&exec, &x, n_in);
                    matmul_blocks(&exec, &rows, &w, &epilogue, &mut out);
                    let what = format!("{cpu:?} {format:?} {n}x{n_in}x{n_out} {epilogue:?}");
                    assert_close(&what, &out, &expected, 1e-5);
                }
            }
        }
    }
}

/// A matrix whose codes are all `code`, with scales of 1 and minimums of -1.
fn constant(format: BlockFormat, code: u8, n_out: usize, n_in: usize) -> PackedBlocks {
    let one = half::f16::ONE.to_le_bytes();
    let mut block = one.to_vec();
    let nibbles = [code & 0x0f | code << 4; 16];
    match format {
        BlockFormat::Q8_0 => block.extend([code; 32]),
        _ => {
            if format.has_minimum() {
                block.extend(half::f16::NEG_ONE.to_le_bytes());
            }
            if format.has_fifth() {
                block.extend([if code & 0x10 == 0 { 0 } else { 0xff }; 4]);
            }
            block.extend(nibbles);
        }
    }
    let mut w = PackedBlocks::zeroed(format, n_out, n_in);
    for row in 0..n_out {
        assert!(w.set_row(row, format.block_type(), &block.repeat(n_in / 32)));
    }
    w
}

#[test]
fn sums_are_exact_at_the_extremes() {
    // Wherever 16 bits would overflow, this shows.
    let (n_out, n_in, n) = (21, 128, 7);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for format in BlockFormat::ALL {
            let codes: &[u8] = match format {
                BlockFormat::Q8_0 => &[0x80, 0x81, 0x7f, 0],
                _ if format.has_fifth() => &[0, 15, 16, 31],
                _ => &[0, 7, 8, 15],
            };
            for &code in codes {
                let w = constant(format, code, n_out, n_in);
                let mut value = [f32::NAN; 128];
                w.dequantize_row(0, &mut value);
                for x in [127.0, -127.0] {
                    let mut rows = QuantizedRows::with_capacity(n, n_in);
                    rows.quantize_blocks(&exec, &vec![x; n * n_in], n_in);
                    let mut out = vec![f32::NAN; n * n_out];
                    matmul_blocks(&exec, &rows, &w, &Epilogue::default(), &mut out);
                    let expected = x * value[0] * n_in as f32;
                    let what = format!("{cpu:?} {format:?} {code} {x}");
                    assert!(out.iter().all(|&y| y == expected), "{what}: {}", out[0]);
                }
            }
        }
    }
}

#[test]
fn all_levels_agree_on_blocks() {
    let (n, n_out, n_in) = (14, 70, 200);
    let (x, w) = (noise(n * n_in, 4), noise(n_out * n_in, 5));
    for format in BlockFormat::ALL {
        let w = PackedBlocks::new(format, &w, n_out, n_in);
        let mut first: Option<Vec<f64>> = None;
        for cpu in Cpu::available() {
            let exec = Exec::new(cpu, 1);
            let mut rows = QuantizedRows::with_capacity(n, n_in);
            rows.quantize_blocks(&exec, &x, n_in);
            let mut out = vec![f32::NAN; n * n_out];
            matmul_blocks(&exec, &rows, &w, &Epilogue::default(), &mut out);
            match &first {
                Some(first) => assert_close(&format!("{cpu:?}"), &out, first, 1e-6),
                None => first = Some(out.iter().map(|&y| f64::from(y)).collect()),
            }
        }
    }
}

#[test]
fn rows_threads_and_cuts_do_not_change_a_bit() {
    let (n, n_out, n_in) = (131, 600, 512);
    let (x, w, bias) = (noise(n * n_in, 1), noise(n_out * n_in, 2), noise(n_out, 3));
    for cpu in Cpu::available() {
        for format in BlockFormat::ALL {
            let w = PackedBlocks::new(format, &w, n_out, n_in);
            let product = |n_threads, n: usize, cut: std::ops::Range<usize>| {
                let exec = Exec::new(cpu, n_threads);
                let mut rows = QuantizedRows::with_capacity(1, 1);
                rows.quantize_blocks(&exec, &x[..n * n_in], n_in);
                let mut out = vec![f32::NAN; n * cut.len()];
                let epilogue = Epilogue {
                    bias: Some(&bias[cut.clone()]),
                    ..Epilogue::default()
                };
                matmul_blocks_rows(&exec, &rows, &w, cut, &epilogue, &mut out);
                out
            };
            let all = product(1, n, 0..n_out);
            assert!(all.iter().all(|v| v.is_finite()));
            assert!(all == product(3, n, 0..n_out), "{cpu:?} {format:?}");
            for n in [1, 2, 3, 5, 8, 13, 28] {
                let some = product(1, n, 0..n_out);
                assert!(some[..] == all[..some.len()], "{cpu:?} {format:?} {n}");
            }
            for cut in [0..1, 3..40, 31..33, 64..130, 599..600, 7..7] {
                let some = product(2, 2, cut.clone());
                let rows = all.chunks_exact(n_out).take(2);
                let expected: Vec<f32> = rows.flat_map(|row| row[cut.clone()].to_vec()).collect();
                assert_eq!(some, expected, "{cpu:?} {format:?} {cut:?}");
            }
        }
    }
}

#[test]
fn zeros_are_zeros_and_what_is_no_number_stays_in_its_row() {
    let (n_out, n_in) = (20, 100);
    let weights = noise(n_out * n_in, 1);
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for format in BlockFormat::ALL {
            let w = PackedBlocks::new(format, &weights, n_out, n_in);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = vec![0.0; 3 * n_in];
                x[n_in + 37] = bad;
                let mut rows = QuantizedRows::with_capacity(3, n_in);
                rows.quantize_blocks(&exec, &x, n_in);
                let mut out = vec![f32::NAN; 3 * n_out];
                matmul_blocks(&exec, &rows, &w, &Epilogue::default(), &mut out);
                assert!(out[..n_out].iter().all(|&y| y == 0.0), "{cpu:?}");
                assert!(out[n_out..2 * n_out].iter().all(|y| !y.is_finite()));
                assert!(out[2 * n_out..].iter().all(|&y| y == 0.0));
            }
        }
    }
}

#[test]
fn all_levels_quantise_blocks_alike() {
    let (n, n_in) = (3, 77);
    let x = noise(n * n_in, 6);
    for cpu in Cpu::available() {
        let mut rows = QuantizedRows::with_capacity(1, 1);
        rows.quantize_blocks(&Exec::new(cpu, 1), &x, n_in);
        let expected = rounded_in_blocks(&x, n_in);
        for (i, expected) in expected.chunks_exact(n_in).enumerate() {
            let row = &rows.data()[i * rows.row_bytes()..][..rows.row_bytes()];
            let records = row.as_chunks::<RECORD_BYTES>().0;
            for (record, expected) in records.iter().zip(expected.chunks(32)) {
                let number = |at: usize| {
                    f32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                };
                let q = |k: usize| f32::from(record[k].cast_signed());
                for (k, expected) in expected.iter().enumerate() {
                    let found = q(k) * number(SCALE_AT);
                    assert!((found - expected).abs() < 1e-6, "{cpu:?} {i} {k}");
                }
                let sum: f32 = (0..32).map(q).sum();
                assert_eq!(number(SUM_AT), sum * number(SCALE_AT));
            }
        }
    }
}

#[test]
#[should_panic(expected = "rows were not quantised in blocks")]
fn rows_with_a_scale_a_row_are_refused() {
    let exec = Exec::new(Cpu::scalar(), 1);
    let w = PackedBlocks::zeroed(BlockFormat::Q5_1, 1, 32);
    let mut rows = QuantizedRows::with_capacity(1, 32);
    rows.quantize(&exec, &[1.0; 32], 32);
    matmul_blocks(&exec, &rows, &w, &Epilogue::default(), &mut [0.0]);
}

#[test]
#[should_panic(expected = "rows were quantised in blocks")]
fn rows_in_blocks_are_refused() {
    let exec = Exec::new(Cpu::scalar(), 1);
    let w = PackedI8::new(Cpu::scalar(), &[1.0; 32], 1, 32);
    let mut rows = QuantizedRows::with_capacity(1, 32);
    rows.quantize_blocks(&exec, &[1.0; 32], 32);
    matmul_i8(&exec, &rows, &w, &Epilogue::default(), &mut [0.0]);
}

/// K-quants whose groups are 32 long keep their codes.
#[test]
fn groups_of_k_quants_become_blocks() {
    for (block, format) in [
        (BlockType::Q4K, BlockFormat::Q4_1),
        (BlockType::Q5K, BlockFormat::Q5_1),
    ] {
        let n_bytes = block.block_bytes();
        let mut bytes: Vec<u8> = noise(n_bytes, 8)
            .iter()
            .map(|v| (v * 127.0) as u8)
            .collect();
        bytes[..2].copy_from_slice(&half::f16::from_f32(0.013).to_le_bytes());
        bytes[2..4].copy_from_slice(&half::f16::from_f32(0.21).to_le_bytes());
        let mut expected = [f32::NAN; 256];
        crate::quant::dequantize(block, &bytes, &mut expected).unwrap();
        assert_eq!(BlockFormat::holding(block), Some(format));
        let mut w = PackedBlocks::zeroed(format, 1, 256);
        assert!(w.set_row(0, block, &bytes));
        let mut found = [f32::NAN; 256];
        w.dequantize_row(0, &mut found);
        let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < largest / 1000.0, "{format:?}: {a} {b}");
        }
    }
}
