//! Whose data a request is about.
//!
//! One place, because every handler needs it, and a tenant that is read wrongly is somebody else's data.

use axum::http::HeaderMap;
use emberkeep_model::TenantId;

use crate::ReaderError;

/// The tenant of `X-Scope-OrgID`, `anonymous` without the header.
///
/// # Errors
/// When the header is repeated with different values or does not hold a tenant id.
pub(crate) fn tenant_of(headers: &HeaderMap) -> Result<TenantId, ReaderError> {
    let mut values = headers.get_all("x-scope-orgid").iter();
    let Some(value) = values.next() else {
        return Ok(TenantId::default());
    };
    if values.any(|other| other != value) {
        return Err(ReaderError::Bad(
            "header X-Scope-OrgID names several tenants".to_owned(),
        ));
    }
    let text = value
        .to_str()
        .map_err(|_| ReaderError::Bad("header X-Scope-OrgID is not ASCII text".to_owned()))?;
    TenantId::parse(text).map_err(|error| ReaderError::Bad(format!("header X-Scope-OrgID: {error}")))
}
