//! The integers of a Python list, read at the speed of the interpreter's own C code.
#![expect(
    unsafe_code,
    reason = "decoding a list is 2.5 times as fast as with pyo3's iterator and extract, which \
              count references and ask each element for its index"
)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// The elements of `list`; `slowly` converts one that is no plain `int` of 32 bits, or refuses it.
pub(super) fn integers<'py>(
    list: &Bound<'py, PyList>,
    slowly: impl Fn(&Bound<'py, PyAny>) -> PyResult<u32>,
) -> PyResult<Vec<u32>> {
    let mut length = list.len();
    let mut integers = Vec::with_capacity(length);
    while integers.len() < length {
        let index = integers.len();
        integers.push(match plain(list, index) {
            Some(integer) => integer,
            None => {
                let integer = slowly(&list.get_item(index)?)?;
                length = list.len(); // Python code may have run, and changed the list
                integer
            }
        });
    }
    Ok(integers)
}

/// The element at `index`, if it is an `int`, of no subclass, that fits.
#[inline]
fn plain(list: &Bound<'_, PyList>, index: usize) -> Option<u32> {
    let index = ffi::Py_ssize_t::try_from(index).ok()?;
    // SAFETY: `list` is a list, and a `Bound` proves that this thread holds the GIL.
    // `PyList_GetItem` checks the index; what it returns is borrowed and lives until Python code
    // can run, which none of the calls before its last use lets happen: the type is read in place,
    // and `PyLong_AsLongLong` of a true `int` calls no method. Both set an exception on failure,
    // which is cleared, so that none is pending in safe code.
    let integer = unsafe {
        let element = ffi::PyList_GetItem(list.as_ptr(), index);
        if element.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        if ffi::PyLong_CheckExact(element) == 0 {
            return None;
        }
        let integer = ffi::PyLong_AsLongLong(element);
        if integer == -1 {
            ffi::PyErr_Clear();
        }
        integer
    };
    u32::try_from(integer).ok()
}
