//! x
mod cache;
mod count;
mod encode;
mod error;
mod input;
mod merge;
mod pretokenize;
#[cfg(feature = "python")]
mod py;
mod queue;
mod special;
mod stream;
mod train;
mod unicode_tables;
mod word;

pub use encode::{BpeEncoder, SpecialIds};
pub use error::{EncoderError, SpecialTokenError, TrainError};
pub use pretokenize::{GPT2_PATTERN, Pretokens, pretokenize};
pub use stream::EncodeStream;
pub use train::{Trainer, Vocabulary};
