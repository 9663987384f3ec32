import novaagent.novaagent

novaagent.novaagent.main()
