//! The Python module `bpe_rs._core`: arguments in, the core called without the GIL, results out.
//!
//! Signatures and docstrings are in `python/bpe_rs/_core.pyi`.

mod arguments;
mod encode;
mod errors;
mod pretokenize;
mod train;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::encode::{PyBpeEncoder, PyEncodeStream};
    #[pymodule_export]
    use super::pretokenize::pretokenize;
    #[pymodule_export]
    use super::train::train_bpe;

    #[pymodule_export]
    const GPT2_PATTERN: &str = crate::GPT2_PATTERN;
}
