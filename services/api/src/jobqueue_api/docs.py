"""`/docs`: Swagger UI, served from here, so that it works where the internet is out of reach."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH: Final = "/docs"

# The package ships the files of Swagger UI (Apache-2.0).
_PACKAGE: Final = "fastapi_offline"
_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"
_CACHE: Final = {"Cache-Control": "public, max-age=86400"}
# Without it browsers ask for /favicon.ico, and the page would name a host for it.
_ICON: Final = "data:,"


def add_docs_routes(app: FastAPI) -> None:
    """Add the page and its two files to an app."""

    @app.get(PATH, include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{PATH.removeprefix('/')}/{_SCRIPT}",
            swagger_css_url=f"{PATH.removeprefix('/')}/{_STYLE}",
            swagger_favicon_url=_ICON,
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
        )

    @app.get(f"{PATH}/{_SCRIPT}", include_in_schema=False)
    async def script() -> Response:
        return _asset(_SCRIPT, "text/javascript")

    @app.get(f"{PATH}/{_STYLE}", include_in_schema=False)
    async def style() -> Response:
        return _asset(_STYLE, "text/css")


def _asset(name: str, media_type: str) -> Response:
    with as_file(files(_PACKAGE) / "static" / name) as path:
        return FileResponse(path, media_type=media_type, headers=_CACHE)
