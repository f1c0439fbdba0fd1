//! appview-core

pub mod syntax;
