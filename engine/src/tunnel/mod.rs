//! Room `tunnel`.
