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
    let write = quantize(BlockType::Q6K, &[0.0; 256], &mut Vec::new()).unwrap_err();
    assert_eq!(write, QuantError::CannotWrite(BlockType::Q6K));
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
        if block.block_len() == 256 {
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
