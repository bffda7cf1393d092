//! `BpeDecoder`.

use std::fmt::Display;

use numpy::{Element, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyKeyError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::arguments::integer;
use super::list::integers;
use crate::BpeDecoder;
use crate::decode::lossy;

/// Fewer ids are decoded in less time than letting go of the GIL and taking it again may cost.
const KEEPS_GIL: usize = 4096;

/// `BpeDecoder` for Python.
#[pyclass(frozen, name = "BpeDecoder", module = "bpe_rs._core")]
pub(super) struct PyBpeDecoder(BpeDecoder);

#[pymethods]
impl PyBpeDecoder {
    #[new]
    fn new(vocab: &Bound<'_, PyDict>) -> PyResult<Self> {
        let entries = vocab.iter().map(|(token_id, token)| {
            let token = token.cast_into::<PyBytes>()?;
            Ok((integer("token id", &token_id)?, token.as_bytes().to_vec()))
        });
        let entries = entries.collect::<PyResult<Vec<(u32, Vec<u8>)>>>()?;
        Ok(Self(BpeDecoder::new(entries)?))
    }

    fn decode<'py>(&self, token_ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let bytes = self.bytes(token_ids)?;
        Ok(PyString::new(token_ids.py(), &lossy(&bytes)))
    }

    fn decode_bytes<'py>(&self, token_ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(token_ids.py(), &self.bytes(token_ids)?))
    }

    fn decode_with_offsets(&self, token_ids: &Bound<'_, PyAny>) -> PyResult<(String, Vec<usize>)> {
        let ids = self.ids(token_ids)?;
        Ok(token_ids.py().detach(|| self.0.decode_with_offsets(&ids))?)
    }
}

impl PyBpeDecoder {
    fn bytes(&self, token_ids: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let ids = self.ids(token_ids)?;
        let bytes = if ids.len() < KEEPS_GIL {
            self.0.decode(&ids)
        } else {
            token_ids.py().detach(|| self.0.decode(&ids))
        };
        Ok(bytes?)
    }

    /// The ids of a list, an array or any iterable.
    fn ids(&self, token_ids: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        if let Ok(list) = token_ids.cast::<PyList>() {
            return integers(list, |token_id| self.id(token_id));
        }
        if let Some(ids) = self.array(token_ids) {
            return ids;
        }
        // Elements of a tensor, or of an array in another byte order, are slow objects of its own.
        if let Ok(to_list) = token_ids.getattr("tolist") {
            return self.ids(to_list.call0()?.cast::<PyList>()?);
        }
        let ids = token_ids.try_iter()?;
        ids.map(|token_id| self.id(&token_id?)).collect()
    }

    fn id(&self, token_id: &Bound<'_, PyAny>) -> PyResult<u32> {
        token_id.extract().map_err(|error: PyErr| {
            if error.is_instance_of::<PyOverflowError>(token_id.py()) {
                self.unknown(token_id)
            } else {
                PyTypeError::new_err(format!("token ids must be integers, got {token_id:?}"))
            }
        })
    }

    /// The ids of an array of integers, copied: without the GIL, others may write to it.
    fn array(&self, array: &Bound<'_, PyAny>) -> Option<PyResult<Vec<u32>>> {
        let array = array.cast::<PyUntypedArray>().ok()?;
        (self.elements::<u32>(array))
            .or_else(|| self.elements::<u16>(array))
            .or_else(|| self.elements::<i64>(array))
            .or_else(|| self.elements::<i32>(array))
            .or_else(|| self.elements::<u64>(array))
            .or_else(|| self.elements::<u8>(array))
            .or_else(|| self.elements::<i16>(array))
            .or_else(|| self.elements::<i8>(array))
    }

    /// The ids of an array, if its elements are of type `T`.
    fn elements<T>(&self, array: &Bound<'_, PyUntypedArray>) -> Option<PyResult<Vec<u32>>>
    where
        T: Element + Copy + Display + TryInto<u32>,
    {
        let array: PyReadonlyArrayDyn<'_, T> = array.extract().ok()?;
        if array.ndim() != 1 {
            return Some(Err(PyValueError::new_err(format!(
                "token ids must have one dimension, got an array of shape {:?}; decode_batch takes \
                 several texts",
                array.shape()
            ))));
        }
        Some(match array.as_slice() {
            Ok(elements) => self.narrowed(elements),
            Err(_) => self.narrowed(&array.as_array().iter().copied().collect::<Vec<T>>()),
        })
    }

    /// Elements as ids. One that is none is looked for only at the end: the loop stays a simple one.
    fn narrowed<T: Copy + Display + TryInto<u32>>(&self, elements: &[T]) -> PyResult<Vec<u32>> {
        let mut are_ids = true;
        let to_id = |&element: &T| {
            let id = element.try_into();
            are_ids &= id.is_ok();
            id.unwrap_or(0)
        };
        let ids = elements.iter().map(to_id).collect();
        let is_none = |&&element: &&T| TryInto::<u32>::try_into(element).is_err();
        if are_ids {
            return Ok(ids);
        }
        let unknown = elements.iter().find(is_none);
        Err(self.unknown(unknown.map_or_else(String::new, T::to_string)))
    }

    /// What is raised for an id that no vocabulary can hold: the same as for one that it does not.
    fn unknown(&self, token_id: impl Display) -> PyErr {
        let count = self.0.vocab_size();
        let message = format!("token id {token_id} is not in the vocabulary of {count} tokens");
        PyKeyError::new_err(message)
    }
}
