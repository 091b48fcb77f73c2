use super::*;

#[test]
fn silence_and_equal_numbers_survive() {
    for block in [
        BlockType::Q4_0,
        BlockType::Q4_1,
        BlockType::Q5_0,
        BlockType::Q5_1,
        BlockType::Q8_0,
    ] {
        for level in [0.0_f32, 0.5] {
            let mut bytes = Vec::new();
            quantize(block, &[level; 64], &mut bytes).unwrap();
            let mut back = [f32::NAN; 64];
            dequantize(block, &bytes, &mut back).unwrap();
            assert!(
                back.iter().all(|v| (v - level).abs() < 1e-3),
                "{} {level}: {back:?}",
                block.name()
            );
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let mut out = [0.0; 32];
    let partial = dequantize(BlockType::Q4K, &[0; 144], &mut out).unwrap_err();
    assert_eq!(
        partial,
        QuantError::PartialBlock {
            block: BlockType::Q4K,
            n: 32
        }
    );
    let length = dequantize(BlockType::Q8_0, &[0; 33], &mut out).unwrap_err();
    assert_eq!(
        length,
        QuantError::Length {
            block: BlockType::Q8_0,
            n: 32,
            n_bytes: 33
        }
    );
    let write = quantize(BlockType::Q3K, &[0.0; 256], &mut Vec::new()).unwrap_err();
    assert_eq!(write, QuantError::CannotWrite(BlockType::Q3K));
}

#[test]
fn ids_lead_back_to_their_types() {
    for block in BlockType::ALL {
        assert_eq!(BlockType::from_ggml_id(block.ggml_id()), Some(block));
    }
    assert_eq!(BlockType::from_ggml_id(4), None);
}

/// The file of `tests/golden/make_quant.py`, taken apart from the front.
struct Golden(&'static [u8]);

impl Golden {
    const LEN: usize = 512;

    fn bytes(&mut self, block: BlockType) -> &'static [u8] {
        let (head, rest) = self.0.split_at(block.bytes_for(Self::LEN).unwrap());
        self.0 = rest;
        head
    }

    fn numbers(&mut self) -> Vec<f32> {
        let number = |raw: &[u8; 4]| f32::from_le_bytes(*raw);
        self.bytes(BlockType::F32)
            .as_chunks::<4>()
            .0
            .iter()
            .map(number)
            .collect()
    }
}

#[test]
fn blocks_equal_the_reference_bit_for_bit() {
    let mut golden = Golden(include_bytes!("../../tests/golden/quant.bin"));
    let x = golden.numbers();
    for block in BlockType::ALL {
        let (stored, expected) = (golden.bytes(block), golden.numbers());
        let mut found = vec![f32::NAN; Golden::LEN];
        dequantize(block, stored, &mut found).unwrap();
        let wrong = found
            .iter()
            .zip(&expected)
            .position(|(a, b)| a.to_bits() != b.to_bits());
        let at = wrong.map(|i| (i, found[i], expected[i]));
        assert_eq!(at, None, "{} read: index, found, expected", block.name());
        if block.block_len() == 256 || block == BlockType::IQ4_NL {
            continue;
        }
        let mut written = Vec::new();
        quantize(block, &x, &mut written).unwrap();
        let expected = golden.bytes(block);
        let wrong = written.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "{} written: byte", block.name());
        assert_eq!(written.len(), expected.len());
    }
    assert!(golden.0.is_empty());
}

/// Numbers in the manner of weights: most of them small.
fn weights(n: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n)
        .map(|_| 0.1 * (0..6).map(|_| uniform()).sum::<f32>())
        .collect()
}

/// Root mean square of the error over that of the numbers, once written and read.
fn error_of(block: BlockType, x: &[f32]) -> f32 {
    let (mut bytes, mut back) = (Vec::new(), vec![f32::NAN; x.len()]);
    quantize(block, x, &mut bytes).unwrap();
    assert_eq!(Some(bytes.len()), block.bytes_for(x.len()));
    dequantize(block, &bytes, &mut back).unwrap();
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
    let off = square(&mut x.iter().zip(&back).map(|(a, b)| a - b));
    (off / square(&mut x.iter().copied())).sqrt()
}

#[test]
fn what_is_written_comes_back_as_near_as_its_bits_allow() {
    let x = weights(4096);
    for (block, most) in [
        (BlockType::F16, 0.001),
        (BlockType::Q8_0, 0.01),
        (BlockType::Q6K, 0.02),
        (BlockType::Q5K, 0.04),
        (BlockType::Q5_1, 0.05),
        (BlockType::Q5_0, 0.05),
        (BlockType::Q4K, 0.08),
        (BlockType::Q4_1, 0.09),
        (BlockType::Q4_0, 0.1),
    ] {
        let error = error_of(block, &x);
        assert!(error < most, "{}: {error}", block.name());
    }
    // A search for the best scale pays.
    assert!(error_of(BlockType::Q4K, &x) < error_of(BlockType::Q4_1, &x));
    assert!(error_of(BlockType::Q5K, &x) < error_of(BlockType::Q5_1, &x));
}

#[test]
fn k_quants_take_zeros_and_numbers_of_one_sign() {
    for block in [BlockType::Q4K, BlockType::Q5K, BlockType::Q6K] {
        for level in [0.0_f32, 0.5, -0.25] {
            let mut bytes = Vec::new();
            quantize(block, &[level; 256], &mut bytes).unwrap();
            let mut back = [f32::NAN; 256];
            dequantize(block, &bytes, &mut back).unwrap();
            let near = |v: &f32| (v - level).abs() <= 0.01 * level.abs();
            assert!(
                back.iter().all(near),
                "{} {level}: {}",
                block.name(),
                back[0]
            );
        }
        let mut bytes = Vec::new();
        quantize(block, &[f32::NAN; 256], &mut bytes).unwrap();
    }
}

#[test]
fn codes_stand_for_the_numbers_that_are_read() {
    let x = weights(512);
    for block in BlockType::ALL {
        let Some(own) = coded_as(block) else { continue };
        let (mut bytes, mut read) = (Vec::new(), vec![f32::NAN; x.len()]);
        quantize(block, &x, &mut bytes).unwrap();
        dequantize(block, &bytes, &mut read).unwrap();
        let offset = match own {
            BlockType::Q4_0 => 8.0,
            BlockType::Q5_0 => 16.0,
            _ => 0.0,
        };
        let mut found = Vec::new();
        each_codes(block, &bytes, &mut |codes| {
            let q = |q: u8| match own {
                BlockType::Q8_0 => f32::from(q.cast_signed()),
                _ => f32::from(q) - offset,
            };
            let (scale, minimum) = (codes.scale.to_f32(), codes.minimum.to_f32());
            found.extend(codes.q.map(|code| scale * q(code) + minimum));
        });
        assert_eq!(found.len(), read.len());
        for (a, b) in found.iter().zip(&read) {
            assert!((a - b).abs() < 2e-4, "{}: {a} {b}", block.name());
        }
    }
}
