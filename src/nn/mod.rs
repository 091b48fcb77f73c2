//! Layers: weights bound to the kernels that multiply them.
//!
//! What enters are activations, row-major `[n, n_state]`; what leaves is the same. Layers own their
//! packed weights and nothing else; buffers belong to the caller, so that one model serves several
//! states and nothing is allocated after load.

mod attention;
mod convolution;
mod kv_cache;
mod linear;
mod load;
mod norm;

pub use attention::{KvPrecision, MixedKvCache, Queries};
pub use convolution::Convolution;
pub use kv_cache::KvCache;
pub use linear::{Compute, Linear, Output, Weights};
pub use load::Loader;
pub use norm::{LayerNorm, RmsNorm};
