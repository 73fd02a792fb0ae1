//! Keyset paging: a cursor is the id of the last item, opaque to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clm_domain::error::Fault;
use clm_domain::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use uuid::Uuid;

use crate::error::Result;

/// Which page of a list, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Items on the page.
    pub limit: u32,
    /// The id of the last item of the page before.
    pub after: Option<Uuid>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page, absent on the last one.
    pub next_cursor: Option<String>,
}

impl PageRequest {
    /// Checks what a client asked for.
    ///
    /// # Errors
    /// `Invalid`, naming `limit` or `cursor`.
    pub fn parse(limit: Option<u32>, cursor: Option<&str>) -> Result<Self> {
        let limit = limit.unwrap_or(PAGE_SIZE_DEFAULT);
        if !(1..=PAGE_SIZE_MAX).contains(&limit) {
            let message = format!("The limit must be between 1 and {PAGE_SIZE_MAX}.");
            return Err(Fault::invalid("limit_out_of_range", "limit", message).into());
        }
        let after = cursor.map(decode).transpose()?;
        Ok(Self { limit, after })
    }

    /// How many rows to read: one more than the page holds tells whether another follows.
    pub const fn rows_to_read(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Cuts the rows that were read to the page.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let size = self.limit as usize;
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(id(last)));
        Page {
            items: rows,
            next_cursor,
        }
    }
}

fn encode(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn decode(cursor: &str) -> Result<Uuid> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| {
            let message = "The cursor is not one that a list returned.";
            Fault::invalid("cursor_invalid", "cursor", message).into()
        })
}
