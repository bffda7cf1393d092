//! What Python hands over, checked, with errors that name the argument.

use std::fmt::Display;
use std::path::PathBuf;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString};

use crate::FilePart;

/// One path or several.
#[derive(FromPyObject)]
pub(super) enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl From<Paths> for Vec<PathBuf> {
    fn from(paths: Paths) -> Self {
        match paths {
            Paths::One(path) => vec![path],
            Paths::Many(paths) => paths,
        }
    }
}

/// Files, and the bytes of each that are read: `spans` is as long as `paths`, or None for all.
pub(super) fn parts(
    paths: Paths,
    spans: Option<Vec<Option<(u64, u64)>>>,
) -> PyResult<Vec<FilePart>> {
    let paths = Vec::from(paths);
    let spans = spans.unwrap_or_else(|| vec![None; paths.len()]);
    if spans.len() != paths.len() {
        return Err(PyValueError::new_err(format!(
            "spans must have a span, or None, for each of the {} files, got {}",
            paths.len(),
            spans.len()
        )));
    }
    let of = |(path, span): (PathBuf, Option<(u64, u64)>)| FilePart {
        path,
        bytes: span.map(|(start, stop)| start..stop),
    };
    Ok(paths.into_iter().zip(spans).map(of).collect())
}

/// An argument that must be a whole number of the type's range.
pub(super) fn integer<'a, 'py, T: FromPyObject<'a, 'py, Error = PyErr>>(
    name: &str,
    value: &'a Bound<'py, PyAny>,
) -> PyResult<T> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            let bits = 8 * size_of::<T>();
            PyValueError::new_err(format!(
                "{name} must be at least 0 and below 2**{bits}, got {value}"
            ))
        } else {
            error
        }
    })
}

/// An integer that must not be below `minimum`, if it is given.
pub(super) fn at_least<T>(
    name: &str,
    minimum: T,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<T>>
where
    T: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr> + PartialOrd + Display,
{
    match value.map(|value| integer(name, value)).transpose()? {
        Some(value) if value < minimum => Err(PyValueError::new_err(format!(
            "{name} must be at least {minimum}, got {value}"
        ))),
        value => Ok(value),
    }
}

/// One of several words, and what it means.
pub(super) fn choice<T: Copy>(name: &str, value: &str, choices: [(&str, T); 2]) -> PyResult<T> {
    let [first, second] = choices;
    match choices.into_iter().find(|(word, _)| *word == value) {
        Some((_, meaning)) => Ok(meaning),
        None => Err(PyValueError::new_err(format!(
            "{name} must be '{}' or '{}', got '{value}'",
            first.0, second.0
        ))),
    }
}

/// A `str` argument, looked at in place.
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value
            .extract()
            .map(Text)
            .map_err(|error| explain_surrogate(value.py(), error))
    }
}

/// A `str` in a collection.
pub(super) struct OwnedText(pub(super) String);

impl<'py> FromPyObject<'_, 'py> for OwnedText {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        value
            .extract::<Text<'_>>()
            .map(|text| Self(text.0.to_owned()))
    }
}

impl AsRef<str> for OwnedText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Says in words what a UnicodeEncodeError means here; leaves other errors as they are.
pub(super) fn explain_surrogate(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
        return error;
    }
    match error
        .value(py)
        .getattr("start")
        .and_then(|start| start.extract::<usize>())
    {
        Ok(position) => PyValueError::new_err(format!(
            "text must be valid Unicode, but character {position} is a lone surrogate; decode the \
             bytes it came from with errors=\"replace\", or replace the character"
        )),
        Err(error) => error,
    }
}

/// Texts out of their wrapping.
pub(super) fn owned(texts: Vec<OwnedText>) -> Vec<String> {
    texts.into_iter().map(|text| text.0).collect()
}

/// The names in `special_tokens=`; a `str` is a collection of its characters, and never meant.
pub(super) fn names(special_tokens: &Bound<'_, PyAny>) -> PyResult<Vec<OwnedText>> {
    if special_tokens.is_instance_of::<PyString>() {
        let message = "special_tokens must be a collection of str, not one str; put it in a list";
        return Err(PyTypeError::new_err(message));
    }
    special_tokens
        .try_iter()?
        .map(|name| name?.extract())
        .collect()
}

pub(super) fn special_ids(special_tokens: &Bound<'_, PyMapping>) -> PyResult<Vec<(String, u32)>> {
    let to_ids = |item: Bound<'_, PyAny>| {
        let (name, id): (OwnedText, Bound<'_, PyAny>) = item.extract()?;
        Ok((name.0, integer("id of a special token", &id)?))
    };
    special_tokens.items()?.iter().map(to_ids).collect()
}
