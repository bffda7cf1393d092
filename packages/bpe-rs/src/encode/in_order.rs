//! What several threads finish out of order, handed over in order.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A queue of numbered items, put in by any thread in any order and taken out in theirs.
///
/// It holds only so many: whoever is too far ahead of the item that is taken next waits in
/// [`InOrder::put`]. Whoever makes that next item never waits, so there is always one to go on.
pub(crate) struct InOrder<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    ahead: u64,
}

struct State<T> {
    /// The number of the item to be taken next.
    next: u64,
    waiting: BTreeMap<u64, T>,
    is_closed: bool,
}

impl<T> InOrder<T> {
    /// A queue from number 0 on, for at most `ahead` items.
    pub(crate) fn new(ahead: usize) -> Self {
        let state = State {
            next: 0,
            waiting: BTreeMap::new(),
            is_closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ahead: ahead.max(1) as u64,
        }
    }

    /// Puts in item `number`, as soon as there is room; false where nobody takes it any more.
    pub(crate) fn put(&self, number: u64, item: T) -> bool {
        let mut state = self.lock();
        while !state.is_closed && number - state.next >= self.ahead {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_closed {
            state.waiting.insert(number, item);
            self.changed.notify_all();
        }
        !state.is_closed
    }

    /// Takes the next item, waiting for it.
    ///
    /// # Errors
    ///
    /// `Timeout` if it was not there in time; `Disconnected` if it will never be.
    pub(crate) fn take(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let next = state.next;
            if let Some(item) = state.waiting.remove(&next) {
                state.next += 1;
                self.changed.notify_all();
                return Ok(item);
            }
            if state.is_closed {
                return Err(RecvTimeoutError::Disconnected);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvTimeoutError::Timeout);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing more in. What is there in order can still be taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Closes the queue when it is dropped: so that nobody waits for one who has panicked.
    pub(crate) fn close_on_drop(&self) -> impl Drop + '_ {
        CloseOnDrop(self)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CloseOnDrop<'q, T>(&'q InOrder<T>);

impl<T> Drop for CloseOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_secs(60);

    #[test]
    fn items_of_several_threads_come_in_order() {
        let (queue, next) = (InOrder::new(3), AtomicU64::new(0));
        let taken: Vec<u64> = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let number = next.fetch_add(1, Ordering::Relaxed)
                        && number < 500
                    {
                        assert!(queue.put(number, number * number));
                    }
                });
            }
            (0..500).map(|_| queue.take(LATE).unwrap()).collect()
        });
        assert_eq!(
            taken,
            (0..500).map(|number| number * number).collect::<Vec<_>>()
        );
    }

    #[test]
    fn who_is_too_far_ahead_waits() {
        let queue = InOrder::new(2);
        assert!(queue.put(1, 'b'));
        thread::scope(|scope| {
            let third = scope.spawn(|| queue.put(2, 'c'));
            assert_eq!(queue.take(SOON), Err(RecvTimeoutError::Timeout));
            assert!(!third.is_finished());
            assert!(queue.put(0, 'a'));
            let taken = [(); 3].map(|()| queue.take(LATE).unwrap());
            assert_eq!(taken, ['a', 'b', 'c']);
            assert!(third.join().unwrap());
        });
    }

    #[test]
    fn a_closed_queue_gives_what_is_in_order_and_takes_nothing() {
        let queue = InOrder::new(2);
        assert!(queue.put(0, 'a'));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.put(3, 'd'));
            queue.close();
            assert!(!waiting.join().unwrap());
        });
        assert!(!queue.put(1, 'b'));
        assert_eq!(queue.take(LATE), Ok('a'));
        assert_eq!(queue.take(LATE), Err(RecvTimeoutError::Disconnected));
    }
}
