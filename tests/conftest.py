import pandas as pd
import pytest
import torch

import treg_edu


@pytest.fixture(scope="session")
def prior():
    return treg_edu.load_prior()


@pytest.fixture(scope="session")
def prior64():
    """The bundled prior in double precision, where two orders of the same arithmetic agree to many digits."""
    return treg_edu.load_prior(dtype=torch.float64)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Six concepts of the shipped images, in the form of the whole."""
    frame = pd.read_parquet(treg_edu.files.data_folder() / "images" / "emoji.parquet")
    labels = frame.loc[frame["split"] == "heldout", "label"].unique()[:6]
    path = tmp_path_factory.mktemp("corpus") / "few.parquet"
    frame[frame["label"].isin(labels)].to_parquet(path)
    return path
