//! A long call seen from another thread: how far it is, and a way to end it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::error::TrainError;

/// What a training does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Reading texts and counting their pretokens; measured in bytes read.
    #[default]
    Count,
    /// Learning merges; measured in merges.
    Merge,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// How much of the stage is done, in the stage's unit.
    pub done: u64,
    /// How much there is to do; 0 where nobody knows.
    pub total: u64,
}

/// Held by both sides: the one that works tells it how far it is and asks whether to go on.
///
/// Only relaxed atomics: nothing is published through it but the numbers themselves, and one that
/// is a moment old does no harm.
#[derive(Debug, Default)]
pub struct Watch {
    is_interrupted: AtomicBool,
    stage: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

impl Watch {
    /// Asks the call to end, with [`TrainError::Interrupted`], as soon as it looks.
    pub fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    /// How far the call is.
    pub fn progress(&self) -> Progress {
        let stage = match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Count,
            _ => Stage::Merge,
        };
        Progress {
            stage,
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn begin(&self, stage: Stage, total: u64) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// To be asked at least every few milliseconds of work.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if self.is_interrupted() {
            return Err(TrainError::Interrupted);
        }
        Ok(())
    }
}
