//! appviewd
