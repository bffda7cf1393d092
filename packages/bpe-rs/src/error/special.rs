//! Special tokens that cannot be used.

/// Why special tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecialTokenError {
    /// An empty special token would match everywhere.
    #[error("special token {index} is empty; leave it out")]
    Empty {
        /// Its place in the list given.
        index: usize,
    },
    /// The same special token twice.
    #[error("special token {token:?} is given twice; give it once")]
    Duplicate {
        /// The token.
        token: String,
    },
    /// A special token of one byte would be in the vocabulary twice.
    #[error(
        "special token {token:?} is a single byte, which every vocabulary holds already; \
         choose a longer one"
    )]
    SingleByte {
        /// The token.
        token: String,
    },
    /// A token was named that the encoder does not recognise.
    #[error("{token:?} is not one of the encoder's {known} special tokens")]
    Unknown {
        /// The token.
        token: String,
        /// How many special tokens there are.
        known: usize,
    },
    /// The automaton that finds the special tokens could not be built.
    #[error("the special tokens are too many or too long to search for: {0}")]
    TooLarge(#[from] aho_corasick::BuildError),
}
