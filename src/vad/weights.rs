//! The detector's weights, part of the program (`models/silero`).
//!
//! The file was chosen when the program was built, so a fault in it is a fault of the build:
//! the readers here panic, and every test of the detector runs them.

use crate::format::safetensors::Safetensors;

const FILE: &[u8] = include_bytes!("../../models/silero/silero_vad_16k.safetensors");

/// The named tensors of the embedded file.
pub(super) struct Weights(Safetensors);

impl Weights {
    /// Opens the embedded file.
    pub(super) fn embedded() -> Self {
        let file = Safetensors::from_bytes("silero_vad_16k.safetensors", FILE);
        Weights(file.unwrap_or_else(|e| panic!("the embedded weights are damaged: {e}")))
    }

    /// The shape of a tensor, outermost dimension first.
    pub(super) fn shape(&self, name: &str) -> &[usize] {
        self.0
            .shape(name)
            .unwrap_or_else(|| panic!("the embedded weights lack {name}"))
    }

    /// The values of a tensor, which must have this shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        assert_eq!(
            self.shape(name),
            shape,
            "shape of {name} in the embedded weights"
        );
        let mut values = Vec::new();
        let read = self.0.read(name, &mut values);
        read.unwrap_or_else(|e| panic!("the embedded weights are damaged: {e}"));
        values
    }
}
