//! What can go wrong, with what was needed, what came, and the way out.

mod encode;
mod pattern;
mod special;
mod train;

pub use encode::{DecodeError, DropoutError, EncoderError};
pub use pattern::PatternError;
pub use special::SpecialTokenError;
pub use train::TrainError;
