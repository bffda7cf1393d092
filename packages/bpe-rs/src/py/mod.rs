//! The Python module `bpe_rs._core`: arguments in, the core called without the GIL, results out.
//!
//! Signatures and docstrings are in `python/bpe_rs/_core.pyi`.

mod arguments;
mod counting;
mod counts;
mod decode;
mod encode;
mod errors;
mod files;
mod gpt2_files;
mod list;
mod long_text;
mod pretokenize;
mod ranks;
mod special;
mod spelling;
mod texts;
mod train;
mod watched;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::counts::PyPretokenCounts;
    #[pymodule_export]
    use super::decode::PyBpeDecoder;
    #[pymodule_export]
    use super::encode::{PyBpeEncoder, PyEncodeStream};
    #[pymodule_export]
    use super::files::PyEncodedBlock;
    #[pymodule_export]
    use super::gpt2_files::{PyReadVocabulary, read_gpt2_files};
    #[pymodule_export]
    use super::pretokenize::pretokenize;
    #[pymodule_export]
    use super::ranks::last_merges;
    #[pymodule_export]
    use super::special::PySpecialTokens;
    #[pymodule_export]
    use super::spelling::{unspell_merges, unspell_vocab};
    #[pymodule_export]
    use super::train::train_bpe;

    #[pymodule_export]
    const GPT2_PATTERN: &str = crate::GPT2_PATTERN;
    #[pymodule_export]
    const CL100K_PATTERN: &str = crate::CL100K_PATTERN;
    #[pymodule_export]
    const O200K_PATTERN: &str = crate::O200K_PATTERN;
    #[pymodule_export]
    const LLAMA3_PATTERN: &str = crate::LLAMA3_PATTERN;
    #[pymodule_export]
    const QWEN2_PATTERN: &str = crate::QWEN2_PATTERN;
}
