//! JSON to Python objects.

use std::fmt;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::arguments::Text;

#[pyfunction]
pub(super) fn parse_json<'py>(py: Python<'py>, text: Text<'_>) -> PyResult<Bound<'py, PyAny>> {
    let mut parser = serde_json::Deserializer::from_str(text.0);
    let value = Value(py).deserialize(&mut parser);
    value
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| PyValueError::new_err(format!("not JSON: {error}")))
}

/// Makes one value, with all that is in it.
#[derive(Clone, Copy)]
struct Value<'py>(Python<'py>);

impl<'py> Value<'py> {
    fn made<E: Error>(self, value: impl IntoPyObject<'py>) -> Result<Bound<'py, PyAny>, E> {
        value.into_bound_py_any(self.0).map_err(E::custom)
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.made(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.made(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.made(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.made(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        self.made(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parser: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = parser.next_element_seed(self)? {
            values.push(value);
        }
        let list = PyList::new(self.0, values).map_err(A::Error::custom)?;
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parser: A) -> Result<Self::Value, A::Error> {
        let values = PyDict::new(self.0);
        let mut count = 0;
        while let Some(key) = parser.next_key_seed(self)? {
            let value = parser.next_value_seed(self)?;
            values.set_item(&key, value).map_err(A::Error::custom)?;
            count += 1;
            if values.len() < count {
                let message = format!("key {key:?} stands twice in one object");
                return Err(A::Error::custom(message));
            }
        }
        Ok(values.into_any())
    }
}
