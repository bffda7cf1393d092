//! A long `str` in UTF-8, faster than Python makes it.
//!
//! Python's own conversion takes one character after the other, and of a text that holds any one
//! beyond ASCII it keeps the result, as large as the text, for as long as the `str` lives. The stable
//! interface shows no code points in place, but copies them: 4096 at a time, which the nearest
//! cache holds, that and our own conversion take a third to a half of the time.

#![expect(
    unsafe_code,
    reason = "pyo3 has no call that copies code points; a pass over prose with some “ takes 20 % longer \
              without"
)]

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::Text;
use crate::utf8::{SLACK, encode};

/// Of fewer characters Python makes UTF-8 in some microseconds, and they stay in the cache anyway.
const MIN_CHARACTERS: usize = 16 << 10;
const CHUNK: usize = 4096;

/// A `str` argument that may be long.
pub(super) struct LongText<'a, 'py>(Borrowed<'a, 'py, PyAny>);

impl<'a, 'py> FromPyObject<'a, 'py> for LongText<'a, 'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value.cast::<PyString>()?;
        Ok(Self(value))
    }
}

/// The `str` that was converted last, by its address. Whoever encodes it again is likely to do so once
/// more: then Python converts it, and keeps the result. Nothing depends on it but time.
#[derive(Debug, Default)]
pub(super) struct LastConverted(AtomicUsize);

impl LastConverted {
    /// Whether it is this one, which it is from now on.
    fn is(&self, text: &Bound<'_, PyString>) -> bool {
        let address = text.as_ptr().addr();
        self.0.swap(address, Ordering::Relaxed) == address
    }
}

impl<'a> LongText<'a, '_> {
    /// The text in UTF-8: Python's, or made here.
    pub(super) fn utf8(self, last: &LastConverted) -> PyResult<Cow<'a, str>> {
        let text = self.0.cast::<PyString>()?;
        let characters = text.len()?;
        if characters >= MIN_CHARACTERS
            && !is_ascii(&text)?
            && !last.is(&text)
            && let Some(utf8) = converted(&text, characters)?
        {
            return Ok(Cow::Owned(utf8));
        }
        // Of a surrogate it says where it is.
        let Text(utf8) = self.0.extract()?;
        Ok(Cow::Borrowed(utf8))
    }
}

fn is_ascii(text: &Bound<'_, PyString>) -> PyResult<bool> {
    let method = intern!(text.py(), "isascii");
    text.call_method0(method)?.is_truthy()
}

/// `None` for a text that has no UTF-8, or that memory has no room for.
fn converted(text: &Bound<'_, PyString>, characters: usize) -> PyResult<Option<String>> {
    let mut utf8 = String::new();
    // It grows where that is not enough.
    if utf8.try_reserve(characters + characters / 4).is_err() {
        return Ok(None);
    }
    let mut code_points = [0; CHUNK];
    let mut bytes = [0; 4 * CHUNK + SLACK];
    for start in (0..characters).step_by(CHUNK) {
        let chunk = substring(text, start, characters.min(start + CHUNK))?;
        let chunk = if is_ascii(&chunk)? {
            Ok(chunk.to_str()?)
        } else {
            let length = encode(copied(&chunk, &mut code_points)?, &mut bytes);
            simdutf8::basic::from_utf8(&bytes[..length])
        };
        match chunk {
            Ok(chunk) if utf8.try_reserve(chunk.len()).is_ok() => utf8.push_str(chunk),
            _ => return Ok(None),
        }
    }
    Ok(Some(utf8))
}

/// The characters from `start` to `end`, which must lie in the text.
fn substring<'py>(
    text: &Bound<'py, PyString>,
    start: usize,
    end: usize,
) -> PyResult<Bound<'py, PyString>> {
    let (start, end) = (start as ffi::Py_ssize_t, end as ffi::Py_ssize_t); // no text is longer
    // SAFETY: `text` is a `str`, and a `Bound` proves that this thread holds the GIL. What is returned
    // is a new reference, or null with an exception set.
    let part = unsafe {
        let part = ffi::PyUnicode_Substring(text.as_ptr(), start, end);
        Bound::from_owned_ptr_or_err(text.py(), part)?
    };
    Ok(part.cast_into()?)
}

/// The code points of at most as many characters as the buffer has room for.
fn copied<'b>(text: &Bound<'_, PyString>, code_points: &'b mut [u32]) -> PyResult<&'b [u32]> {
    let room = code_points.len() as ffi::Py_ssize_t;
    // SAFETY: `text` is a `str`, the GIL is held, and no more than `room` code points are written;
    // where they are more, an exception is set and null returned.
    let written =
        unsafe { ffi::PyUnicode_AsUCS4(text.as_ptr(), code_points.as_mut_ptr(), room, 0) };
    if written.is_null() {
        return Err(PyErr::fetch(text.py()));
    }
    Ok(&code_points[..text.len()?])
}
