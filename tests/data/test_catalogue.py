"""What is written down of files to download, against a second transcription of the pages."""

import pytest

from ctta.data import catalogue

PUBLISHED = """
cifar10_c CIFAR-10-C.tar 2918471680 56bf5dcef84df0e2308c6dcbcbbd8499
cifar100_c CIFAR-100-C.tar 2918473216 11f0ed0f1191edbf9fa23466ae6021d3
cifar10 cifar-10-python.tar.gz - c58f30108f718f92721af3b95e74349a
imagenet_c noise.tar 22565673785 e80562d7f6c3f8834afb1ecf27252745
imagenet_c blur.tar 7112704951 2d8e81fdd8e07fef67b9334fa635e45c
imagenet_c weather.tar 12797438995 33ffea4db4d93fe4a428c40a6ce0c25d
imagenet_c digital.tar 7757510705 89157860d7b10d5797849337ca2e5c03
imagenet_c extra.tar 15789490144 d492dfba5fc162d8ec2c3cd8ee672984
imagenet_ids imagenet_test_image_ids.txt - 8de8bbba2cf05cb54190e49247375985
imagenet_r imagenet-r.tar - a61312130a589d0ca1a8fca1f2bd3337
imagenet_a imagenet-a.tar 687552512 c3e55429088dc681f30d81f4726b6595
domainnet126 clipart.zip - cd0d8f2d77a4e181449b78ed62bccf1e
imagenet_d109 clipart.zip - cd0d8f2d77a4e181449b78ed62bccf1e
imagenet_d109 infograph.zip - 720380b86f9e6ab4805bb38b6bd135f8
"""


@pytest.mark.parametrize("line", PUBLISHED.split("\n")[1:-1])
def test_sizes_and_checksums_are_the_published_ones(line):
    name, file, size, md5 = line.split()
    (found,) = [f for f in catalogue.entry(name).files if f.name == file]
    assert found.md5 == md5
    assert size == "-" or found.size == int(size)


def test_every_entry_says_what_binds_its_user():
    assert len(set(catalogue.names())) == len(catalogue.ENTRIES)
    for entry in catalogue.ENTRIES:
        assert entry.licence
        assert entry.terms
        assert entry.layout
        assert entry.page.startswith("http")
        for file in entry.files:
            assert file.unpacks_to
            assert all(path.split("/")[0] == entry.folder for path in file.unpacks_to)
    corrupted = [path for f in catalogue.entry("imagenet_c").files for path in f.unpacks_to]
    assert len(corrupted) == len(set(corrupted)) == 19
    assert len(catalogue.entry("imagenet_3dcc").files) == 12


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"expected a data set \(cifar10_c, .*, got 'mnist'"):
        catalogue.entry("mnist")
