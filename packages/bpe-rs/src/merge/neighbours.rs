//! What stands beside the places of one merge, counted by token.

use std::ops::Range;

use super::tokens::Symbol;

/// In place of a place: it is not noted anywhere.
pub(super) const NOWHERE: usize = usize::MAX;

/// A token beside the places of a merge, on one side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Neighbour {
    /// How often it stands there.
    pub(super) count: u64,
    /// At how many places it does; once all are counted, where the next of them is noted.
    pub(super) places: usize,
}

/// One counter a token, so that the table of pairs is asked once for each neighbour, not once for
/// each place. All are zero between merges.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    by_symbol: Vec<Neighbour>,
    /// Those that are not zero.
    met: Vec<Symbol>,
}

impl Neighbours {
    /// Makes room for one more symbol, the last.
    pub(super) fn grow(&mut self, symbol: Symbol) {
        self.by_symbol
            .resize(symbol as usize + 1, Neighbour::default());
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
    pub(super) fn of(&mut self, symbol: Symbol) -> &mut Neighbour {
        &mut self.by_symbol[symbol as usize]
    }

    /// The tokens met; they may be changed while one goes through them.
    pub(super) fn met(&self) -> Range<usize> {
        0..self.met.len()
    }

    #[inline]
    pub(super) fn nth(&self, nth: usize) -> (Symbol, Neighbour) {
        let symbol = self.met[nth];
        (symbol, self.by_symbol[symbol as usize])
    }

    pub(super) fn clear(&mut self) {
        for symbol in self.met.drain(..) {
            self.by_symbol[symbol as usize] = Neighbour::default();
        }
    }
}
