//! Strangers at a relay, what breaks a tunnel and what does not, and that every reason is one line.
