//! appview-core
