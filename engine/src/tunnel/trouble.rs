//! What a tunnel that has no way for its client calls its trouble: one word that a program acts on.
//!
//! The tunnel (`relay`) writes `@ERROR: ferry-stunnel WORD: SENTENCE` to its client before any other byte; the client
//! (`port`) reads it. Neither judges the other's sentence.

/// What a client may make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The kernel has no way there. Trying again will not help.
    Unreachable,
    /// Nobody there at the moment, or the way broke. Trying again may help.
    Refused,
    /// The other side is not ours: it speaks no TLS 1.3 or shows no certificate. Final.
    Stock,
    /// The two sides hold different certificates. Final.
    Certificate,
    /// The proxy says no. Final.
    Proxy,
}

/// Before the word.
const SPEAKER: &str = "ferry-stunnel ";

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Unreachable, Self::Refused, Self::Stock, Self::Certificate, Self::Proxy];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Stock => "stock",
            Self::Certificate => "certificate",
            Self::Proxy => "proxy",
        }
    }

    /// The line for a client, with its end. `sentence` is one line already.
    pub(super) fn line(self, sentence: &str) -> String {
        format!("@ERROR: {SPEAKER}{}: {sentence}\n", self.word())
    }

    /// Of what follows `@ERROR: `, with the sentence; `None` when no tunnel of ours speaks.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let (word, sentence) = text.strip_prefix(SPEAKER)?.split_once(": ")?;
        Some((Self::ALL.into_iter().find(|kind| kind.word() == word)?, sentence))
    }
}
