//! What a server answers while it is still starting.
//!
//! The port is taken and answered from the first moment: a sender hears 503 and comes again, a liveness probe hears that the process is
//! alive. Nothing else may be answered before the real routes are there.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

/// Seconds after which a sender that honours it comes again.
const RETRY_AFTER_SECONDS: &str = "2";

/// The routes of a server, once it has them; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    routes: Arc<OnceLock<Router>>,
}

impl Opening {
    /// The router to serve from the start.
    pub fn router(&self) -> Router {
        let opening = self.clone();
        Router::new().fallback(move |request: Request| opening.clone().answer(request))
    }

    /// From now on these routes answer. Only the first call counts.
    pub fn open(&self, routes: Router) {
        // A second call would be a second start of the same process.
        let _ = self.routes.set(routes);
    }

    async fn answer(self, request: Request) -> Response {
        match self.routes.get() {
            Some(routes) => {
                let answered: Result<Response, Infallible> = routes.clone().oneshot(request).await;
                answered.unwrap_or_else(|never| match never {})
            }
            None if request.uri().path() == "/-/healthy" => "healthy\n".into_response(),
            None => {
                let retry = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
                (StatusCode::SERVICE_UNAVAILABLE, retry, "starting\n").into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a plain request");
        router.clone().oneshot(request).await.expect("infallible").status()
    }

    #[tokio::test]
    async fn only_the_health_is_answered_until_the_routes_are_there() {
        let opening = Opening::default();
        let router = opening.router();
        assert_eq!(status(&router, "/-/healthy").await, StatusCode::OK);
        assert_eq!(status(&router, "/-/ready").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&router, "/api/v1/write").await, StatusCode::SERVICE_UNAVAILABLE);
        opening.open(Router::new().route("/-/ready", get(async || "ready")));
        assert_eq!(status(&router, "/-/ready").await, StatusCode::OK);
        assert_eq!(status(&router, "/nowhere").await, StatusCode::NOT_FOUND);
    }
}
