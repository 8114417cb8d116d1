"""Types that the test flows import; read from the syntax tree, never run."""

from pydantic import BaseModel


class Article(BaseModel):
    id: str
    title: str
    body: str
