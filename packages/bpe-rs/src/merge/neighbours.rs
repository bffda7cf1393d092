//! What stands beside the places of one merge, counted by token.

use std::ops::Range;

use super::tally::Tally;
use super::tokens::Symbol;

/// One counter a token, so that the table of pairs is asked once for each neighbour, not once for
/// each place. All are zero between merges.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    by_symbol: Vec<Tally>,
    /// Those that are not zero.
    met: Vec<Symbol>,
}

impl Neighbours {
    /// Makes room for one more symbol, the last.
    pub(super) fn grow(&mut self, symbol: Symbol) {
        self.by_symbol.resize(symbol as usize + 1, Tally::default());
    }

    #[inline]
    pub(super) fn add(&mut self, symbol: Symbol, count: u64) {
        let neighbour = &mut self.by_symbol[symbol as usize];
        if neighbour.places == 0 {
            self.met.push(symbol);
        }
        neighbour.count += count;
        neighbour.places += 1;
    }

    #[inline]
    pub(super) fn of(&mut self, symbol: Symbol) -> &mut Tally {
        &mut self.by_symbol[symbol as usize]
    }

    /// The tokens met in this merge.
    pub(super) fn met(&self) -> &[Symbol] {
        &self.met
    }

    /// Numbers for `nth`, for a loop in which tallies change.
    pub(super) fn numbers(&self) -> Range<usize> {
        0..self.met.len()
    }

    #[inline]
    pub(super) fn nth(&self, nth: usize) -> (Symbol, Tally) {
        let symbol = self.met[nth];
        (symbol, self.by_symbol[symbol as usize])
    }

    pub(super) fn clear(&mut self) {
        for symbol in self.met.drain(..) {
            self.by_symbol[symbol as usize] = Tally::default();
        }
    }
}
