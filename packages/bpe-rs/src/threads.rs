//! How many threads work, and starting them.

use std::num::NonZeroUsize;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::TrainError;

/// More threads than this never help, and starting many thousands takes a machine down.
const MAX_THREADS: usize = 256;

/// `wanted` threads, or one a core for 0.
pub(crate) fn threads(wanted: usize) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = if wanted == 0 { cores() } else { wanted };
    wanted.min(MAX_THREADS)
}

/// # Errors
///
/// [`TrainError::Threads`] where the system has no room for so many.
pub(crate) fn thread_pool(num_threads: usize) -> Result<ThreadPool, TrainError> {
    let pool = ThreadPoolBuilder::new().num_threads(num_threads).build();
    pool.map_err(|source| TrainError::Threads {
        num_threads,
        source,
    })
}
