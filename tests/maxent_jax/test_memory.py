from maxent_jax import memory


def container(folder, limit, used, stat="anon 1\ninactive_file 0"):
    for name, text in (("memory.max", limit), ("memory.current", used), ("memory.stat", stat)):
        (folder / name).write_text(f"{text}\n")
    return memory.container_bytes(folder)


def test_a_containers_limit_counts_and_files_that_were_read_do_not(tmp_path):
    assert container(tmp_path, 8_000, 5_000) == [3_000]
    assert container(tmp_path, 8_000, 7_900, "anon 900\ninactive_file 7000\nactive_file 0") == [7_100]


def test_no_container_or_none_with_a_limit_says_nothing(tmp_path):
    assert memory.container_bytes(tmp_path) == []
    assert container(tmp_path, "max", 5_000) == []
