//! What all typed views share: how one is read from a block, and the macro that declares one.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::Collection;

/// A record type this crate knows the members of.
///
/// A view requires what the lexicon requires and the types it names, and no more: formatted strings stay text and
/// numbers are not checked against their range, so that every record that is not quarantined can be read. Members the
/// lexicon does not name are ignored.
pub trait TypedRecord: Serialize + DeserializeOwned {
    /// The collection its records are in.
    const COLLECTION: Collection;

    /// The collection's NSID, which is also the record's `$type`.
    const NSID: &'static str = Self::COLLECTION.nsid();

    /// Reads a record from its block.
    ///
    /// # Errors
    /// [`RecordError`] when a required member is missing, one has another type, or `$type` is another collection.
    fn from_block(block: &[u8]) -> Result<Self, RecordError> {
        serde_ipld_dagcbor::from_slice(block)
            .map_err(|error| RecordError::Mismatch { expected: Self::COLLECTION, reason: error.to_string() })
    }
}

/// A block that is not the record it was read as.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A member is missing or of another type, or the block is no record at all.
    #[error("expected a record of {expected}: {reason}")]
    Mismatch {
        /// The collection whose view was asked for.
        expected: Collection,
        /// What the decoder met.
        reason: String,
    },
}

/// The `$type` member of a record of type `T`: has one value only, and refuses any other when read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordType<T>(PhantomData<T>);

impl<T> Default for RecordType<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: TypedRecord> Serialize for RecordType<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(T::NSID)
    }
}

impl<'de, T: TypedRecord> Deserialize<'de> for RecordType<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<T>(PhantomData<T>);

        impl<T: TypedRecord> de::Visitor<'_> for Name<T> {
            type Value = RecordType<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the $type {}", T::NSID)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordType<T>, E> {
                if text == T::NSID {
                    Ok(RecordType(PhantomData))
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_str(Name(PhantomData))
    }
}

/// Declares views as their lexicons do: members that are required, then members that are not.
///
/// A `record` gets its `$type` and [`TypedRecord`]; an `object` is a part of one. Names are camel case on the wire.
macro_rules! views {
    () => {};
    ($(#[$doc:meta])* record $name:ident { $($body:tt)* } $($rest:tt)*) => {
        $crate::record::view::views! {
            @define [$(#[$doc])*] $name
            [
                /// The record's `$type`.
                #[serde(rename = "$type")]
                pub record_type: $crate::record::RecordType<$name>,
            ]
            $($body)*
        }

        impl $crate::record::TypedRecord for $name {
            const COLLECTION: $crate::record::Collection = $crate::record::Collection::$name;
        }

        $crate::record::view::views! { $($rest)* }
    };
    ($(#[$doc:meta])* object $name:ident { $($body:tt)* } $($rest:tt)*) => {
        $crate::record::view::views! { @define [$(#[$doc])*] $name [] $($body)* }
        $crate::record::view::views! { $($rest)* }
    };
    (
        @define [$(#[$doc:meta])*] $name:ident [$($first:tt)*]
        required { $($(#[$required_doc:meta])* $required:ident: $required_type:ty,)* }
        optional { $($(#[$optional_doc:meta])* $optional:ident: $optional_type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($first)*
            $($(#[$required_doc])* pub $required: $required_type,)*
            $(
                $(#[$optional_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $optional: Option<$optional_type>,
            )*
        }
    };
}

pub(super) use views;

views! {
    /// A reference pinned to content: which record, in exactly which version (`com.atproto.repo.strongRef`).
    object StrongRef {
        required {
            /// The record's AT URI.
            uri: String,
            /// The CID of the version meant.
            cid: String,
        }
        optional {}
    }
}
