//! `GET /api/v1/facilities`: which there are, and when each was last heard of.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::viewer::Viewer;
use crate::answer;
use crate::app::App;
use crate::documents::time;

pub async fn answer(viewer: Viewer, State(app): State<Arc<App>>) -> Response {
    let asked = async {
        app.store.settle().await?;
        app.store
            .read(|store| {
                let mut rows = store.prepare_cached(
                    "SELECT name, (SELECT max(last) FROM seen WHERE facility = facilities.id),
                     (SELECT max(time) FROM latest WHERE facility = facilities.id) FROM facilities ORDER BY name",
                )?;
                let all: rusqlite::Result<Vec<(String, Option<i64>, Option<i64>)>> = rows
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect();
                Ok(all?)
            })
            .await
    };
    match asked.await {
        Ok(all) => Json(
            all.into_iter()
                .filter(|(name, ..)| viewer.sees(name))
                .map(|(name, seen, latest)| json!({"facility": name, "last": seen.max(latest).map(time::text)}))
                .collect::<Vec<_>>(),
        )
        .into_response(),
        Err(why) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, format!("{why:#}")),
    }
}
