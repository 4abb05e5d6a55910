module emberkeep/model/testdata/re2/generate

go 1.26
