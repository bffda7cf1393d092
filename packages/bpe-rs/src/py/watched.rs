//! A long call that Python can watch and end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::{Progress, Stage, TrainError, Watch};

/// Ctrl-C should be felt at once: within 100 ms in all, of which the core takes some milliseconds.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);
/// Nine reports a second and the last one make ten.
const REPORT_INTERVAL: Duration = Duration::from_millis(112);

/// What a call that was watched came to.
pub(super) struct Outcome<T> {
    /// What the job gave.
    pub(super) value: T,
    /// The exception that ended it early, raised by a signal handler, by `progress` or by `feed`.
    pub(super) stopped_by: Option<PyErr>,
}

impl<T> Outcome<Result<T, TrainError>> {
    /// The value of a job that had to be done to its end. An error of its own comes first: a feed
    /// that finds nobody to feed is only its consequence.
    pub(super) fn complete(self) -> PyResult<T> {
        match (self.value, self.stopped_by) {
            (Err(TrainError::Interrupted) | Ok(_), Some(error)) => Err(error),
            (value, _) => Ok(value?),
        }
    }
}

/// Runs `job` on another thread, without the GIL. This thread runs `feed`, and then signal handlers
/// and `progress` until the job is done; what they raise interrupts the job.
pub(super) fn watched<T: Send>(
    py: Python<'_>,
    watch: &Watch,
    progress: Option<Py<PyAny>>,
    feed: impl FnOnce(Python<'_>, &mut Attendant<'_>) -> PyResult<()>,
    job: impl FnOnce() -> T + Send,
) -> PyResult<Outcome<T>> {
    let mut attendant = Attendant::new(watch, progress);
    let (done, is_done) = mpsc::channel::<()>();
    let (ended, mut stopped_by) = thread::scope(|scope| {
        let job = scope.spawn(move || {
            let _done = done; // dropped at the end, which wakes the other thread
            catch_unwind(AssertUnwindSafe(job))
        });
        let mut stopped_by = attendant.stop_on_error(|attendant| feed(py, attendant));
        stopped_by = py.detach(|| attendant.wait(is_done, stopped_by));
        (job.join(), stopped_by)
    });
    let value = ended.and_then(|ended| ended).map_err(bug)?;
    if stopped_by.is_none() {
        stopped_by = attendant.report(py).err();
    }
    Ok(Outcome { value, stopped_by })
}

/// A panic is ours to mend, but nobody's reason to lose a process.
fn bug(panic: Box<dyn Any + Send>) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    PyRuntimeError::new_err(format!("a bug in bpe_rs, please report it: {text}"))
}

/// Looks after a call from the thread that Python made it on.
pub(super) struct Attendant<'a> {
    watch: &'a Watch,
    progress: Option<Py<PyAny>>,
    last: Option<Progress>,
    last_at: Instant,
}

impl<'a> Attendant<'a> {
    fn new(watch: &'a Watch, progress: Option<Py<PyAny>>) -> Self {
        Self {
            watch,
            progress,
            last: None,
            last_at: Instant::now(),
        }
    }

    /// Runs pending signal handlers, and `progress` if it is time.
    pub(super) fn attend(&mut self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        if self.last_at.elapsed() < REPORT_INTERVAL {
            return Ok(());
        }
        self.report(py)
    }

    fn report(&mut self, py: Python<'_>) -> PyResult<()> {
        let now = self.watch.progress();
        let Some(progress) = self.progress.as_ref().filter(|_| self.last != Some(now)) else {
            return Ok(());
        };
        let stage = match now.stage {
            Stage::Count => "count",
            Stage::Merge => "merge",
        };
        progress.call1(py, (stage, now.done, now.total))?;
        (self.last, self.last_at) = (Some(now), Instant::now());
        Ok(())
    }

    fn stop_on_error(&mut self, call: impl FnOnce(&mut Self) -> PyResult<()>) -> Option<PyErr> {
        let error = call(self).err();
        if error.is_some() {
            self.watch.interrupt();
        }
        error
    }

    fn wait(&mut self, is_done: Receiver<()>, mut stopped_by: Option<PyErr>) -> Option<PyErr> {
        while is_done.recv_timeout(SIGNAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if stopped_by.is_none() {
                stopped_by = self.stop_on_error(|this| Python::attach(|py| this.attend(py)));
            }
        }
        stopped_by
    }
}
