"""The panel of notebook 01."""

from .. import figures, images, operators
from .base import LINEAR, Live, operator_and_strength, picture_menu

__all__ = ["null_space"]


def null_space(name: str = "fox", other: str = "gorilla") -> Live:
    """The panel of notebook 01: pictures, operator and strength → what is seen of x, what is not, and a twin of the same measurement."""
    operator, strength = operator_and_strength(LINEAR)
    pictures = {"name": picture_menu(name, "x"), "other": picture_menu(other, "twin's model")}

    def draw(operator: str, strength: float, name: str, other: str) -> figures.Figure:
        A, x = LINEAR[operator][0](strength), images.example(name)
        seen, twin = A.A_dagger(A.A(x)), operators.twin(A, x, images.example(other))
        pictures = {"x": x, "A(x)": A.A(x), "seen, A†A x": seen, "unseen, + ½": x - seen + 0.5, "twin": twin, "A(twin)": A.A(twin)}
        return figures.ladder([picture[0] for picture in pictures.values()], list(pictures))

    return Live({"operator": operator, "strength": strength, **pictures}, draw)
