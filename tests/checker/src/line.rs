//! The lines of a history, as a violation tells them.

use std::fmt;

use crate::run::{Moment, Outcome, Read, Seen, Sent, Sight, Told};

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} at {:.3} s]", self.tick, self.at.as_secs_f64())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(position) = self.position {
            write!(f, ", {:?} at position {position}", self.stands)?;
        }
        for (stream, version) in &self.versions {
            write!(f, ", {stream} v{version}")?;
        }
        write!(f, ", body {:08x}", self.body >> 96)
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, call, invoked, ended } = self;
        write!(f, "{invoked} {client}: {} (request {:08x}) -> ", call.what, call.request >> 96)?;
        match ended {
            None => write!(f, "nothing so far"),
            Some((at, Outcome::Ok { told, replayed } | Outcome::Refused { told, replayed })) => {
                let again = if *replayed { ", replayed" } else { "" };
                write!(f, "{at} {told}{again}")
            }
            Some((at, Outcome::Unknown(why))) => write!(f, "{at} unknown: {why}"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: saw position {}", self.at, self.client, self.position)?;
        match &self.sight {
            Sight::Hash(hash) => write!(f, " with hash {}", hex(hash)),
            Sight::Event(id) => write!(f, " with event {id}"),
            Sight::There => Ok(()),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: read {}", self.invoked, self.client, self.stream)?;
        if let Some(position) = self.min_position {
            write!(f, " at {position} or later")?;
        }
        write!(f, " -> {} v{}", self.ended, self.version)?;
        if let Some(position) = self.position {
            write!(f, " as of {position}")?;
        }
        Ok(())
    }
}

/// The first half of a hash: enough to tell two apart by eye.
pub(crate) fn hex(hash: &[u8; 32]) -> String {
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
