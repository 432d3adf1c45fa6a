"""What is written down of files to download, against a second transcription of the pages."""

import pytest

from ctta.data import catalogue

PUBLISHED = """
cifar10_c CIFAR-10-C.tar 2918471680 56bf5dcef84df0e2308c6dcbcbbd8499
cifar100_c CIFAR-100-C.tar 2918473216 11f0ed0f1191edbf9fa23466ae6021d3
cifar10 cifar-10-python.tar.gz 170498071 c58f30108f718f92721af3b95e74349a
cifar100 cifar-100-python.tar.gz 169001437 eb9058c3a382ffc7106e4002c42a8d85
imagenet ILSVRC2012_img_val.tar 6744924160 29b22e2961454d5413ddabcf34fc5622
imagenet ILSVRC2012_img_train.tar 147897477120 1d675b47d978889d74fa0da5fadfb00e
imagenet_c noise.tar 22565673785 e80562d7f6c3f8834afb1ecf27252745
imagenet_c blur.tar 7112704951 2d8e81fdd8e07fef67b9334fa635e45c
imagenet_c weather.tar 12797438995 33ffea4db4d93fe4a428c40a6ce0c25d
imagenet_c digital.tar 7757510705 89157860d7b10d5797849337ca2e5c03
imagenet_c extra.tar 15789490144 d492dfba5fc162d8ec2c3cd8ee672984
imagenet_ids imagenet_test_image_ids.txt - 8de8bbba2cf05cb54190e49247375985
imagenet_r imagenet-r.tar 2191079936 a61312130a589d0ca1a8fca1f2bd3337
imagenet_a imagenet-a.tar 687552512 c3e55429088dc681f30d81f4726b6595
imagenet_v2 imagenetv2-matched-frequency.tar.gz 1264079360 \
f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c
imagenet_v2 imagenetv2-threshold0.7.tar.gz 1249906176 \
32142bfe998f9cfa4141be691f6a80eeb1e27b24bd532a668eb08c26d98897a2
imagenet_v2 imagenetv2-top-images.tar.gz 1245927936 \
85e4ace30f3f0d660152062254b8759dda66267b27f7ec0fd8d5768f1073a04b
domainnet126 clipart.zip - cd0d8f2d77a4e181449b78ed62bccf1e
imagenet_d109 clipart.zip - cd0d8f2d77a4e181449b78ed62bccf1e
imagenet_d109 infograph.zip - 720380b86f9e6ab4805bb38b6bd135f8
"""


@pytest.mark.parametrize("line", PUBLISHED.split("\n")[1:-1])
def test_sizes_and_checksums_are_the_published_ones(line):
    name, file, size, checksum = line.split()
    (found,) = [f for f in catalogue.entry(name).files if f.name == file]
    assert found.checksums[{32: "md5", 64: "sha256"}[len(checksum)]] == checksum
    assert size == "-" or found.size == int(size)


def test_every_entry_says_what_binds_its_user():
    assert len(set(catalogue.names())) == len(catalogue.ENTRIES)
    for entry in catalogue.ENTRIES:
        assert entry.licence
        assert entry.terms
        assert entry.layout
        assert entry.page.startswith("http")
        for file in entry.files:
            assert bool(file.urls) != bool(entry.by_hand)
            assert all(url.startswith(("http://", "https://")) for url in file.urls)
            assert file.unpacks_to
            assert all(path.split("/")[0] == entry.folder for path in file.unpacks_to)
    corrupted = [path for f in catalogue.entry("imagenet_c").files for path in f.unpacks_to]
    assert len(corrupted) == len(set(corrupted)) == 19
    assert len(catalogue.entry("imagenet_3dcc").files) == 12


def test_zenodo_is_asked_in_every_way_it_has_answered():
    (file,) = catalogue.entry("cifar10_c").files
    assert file.urls == (
        "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1",
        "https://zenodo.org/api/records/2535967/files/CIFAR-10-C.tar/content",
    )
    assert file.record == "https://zenodo.org/api/records/2535967"


def test_what_is_missing_is_downloaded_or_got_by_hand():
    assert catalogue.entry("cifar10_c").remedy().startswith("type 'ctta data download cifar10_c'")
    assert catalogue.entry("imagenet").remedy().startswith("get it from https://image-net.org")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"expected a data set \(cifar10_c, .*, got 'mnist'"):
        catalogue.entry("mnist")
