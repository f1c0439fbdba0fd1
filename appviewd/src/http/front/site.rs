//! The way in: what is on the shelf is given at once, and everything else is routed.
//!
//! A request enters as its connection has read it; its answer leaves. One that was made before is found by the request's
//! path and query, and is sent without a route, a layer or a task in between: that is what makes it cost next to nothing.
//! Whoever gets it is named, counted and held to an allowance as everybody is. Deliberately absent: refusals. Whatever is
//! not simply given goes by the routes, which say why.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use axum::response::Response;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

use super::super::App;
use super::super::listen::Host;
use super::caller::Peer;
use super::{errors, gate};

/// Everything that is answered; cheap to clone.
#[derive(Debug, Clone)]
pub struct Site {
    app: Arc<App>,
    routes: TowerToHyperService<Router>,
}

impl Site {
    /// Answers by these routes of an app.
    pub(in crate::http) fn new(app: Arc<App>, routes: Router) -> Self {
        Self { app, routes: TowerToHyperService::new(routes) }
    }
}

impl Host for Site {
    type Service = Visit;

    fn to(&self, peer: Peer) -> Visit {
        Visit { site: self.clone(), peer }
    }
}

/// A site, to one connection.
#[derive(Debug)]
pub struct Visit {
    site: Site,
    peer: Peer,
}

impl Service<Request<Incoming>> for Visit {
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response, Infallible>>, TowerToHyperServiceFuture<Router, Request<Incoming>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(response) = self.again(&request) {
            return Either::Left(ready(Ok(response)));
        }
        request.extensions_mut().insert(self.peer);
        Either::Right(self.site.routes.call(request))
    }
}

impl Visit {
    /// The answer that was made before.
    fn again(&self, request: &Request<Incoming>) -> Option<Response> {
        let (began, app, headers) = (Instant::now(), &self.site.app, request.headers());
        // Whoever sends a body is told by the gate what becomes of it.
        if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        let found = app.shelf.find(request, app.version())?;
        let kept = found.kept()?;
        // Who reads pages is told in words, by a layer of the routes.
        if kept.is_error() && errors::is_for_people(request.headers(), request.uri().path()) {
            return None;
        }
        let left = gate::take(app, self.peer, headers).ok()?;
        let mut response = app.shelf.give(kept, headers.get(header::IF_NONE_MATCH));
        if *request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        gate::tell(app, response.headers_mut(), left);
        kept.tally().tell(&mut response, app.names.name(headers), began.elapsed());
        Some(response)
    }
}
