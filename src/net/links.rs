//! The links that exist.
