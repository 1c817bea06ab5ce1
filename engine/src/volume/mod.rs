//! Room `volume`.
